"""Polls feeds once with the PyPI package ``reader``."""

import sys
from pathlib import Path

from reader import make_reader


def main(database: str, urls: list[str]) -> None:
    reader = make_reader(database)
    for url in urls:
        reader.add_feed(url, exist_ok=True)
    if urls:
        reader.update_feeds(scheduled=False)
    reader.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_text().split())
