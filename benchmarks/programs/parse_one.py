"""The 15 MB document with one new episode: read as we do, and by feedparser on the whole.

Prints the CPU seconds of each run, ours and feedparser's in turn. This is the one place of the
benchmarks that knows how ``monitor`` reads.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO

import feedparser

from benchmarks.documents import KINDS, Feed
from monitor.core.model import Edition, Fetched, Reading, Validators
from monitor.core.sweep import Sweep

PIECE_BYTES = 65_536  # as monitor.adapters.body unzips
KIND = "transcripts"


def main(runs: int, items: int | None) -> None:
    feed = Feed(f"{KIND}-0", KINDS[KIND].of(items))
    edition, reading = _read(feed.document(), None, None)
    feed.publish()
    document = feed.document()

    def ours() -> int:
        return len(_read(document, edition, reading)[1].items)

    def whole() -> int:
        return len(feedparser.parse(BytesIO(document)).entries)

    assert ours() == whole() == len(reading.items) + 1
    print(json.dumps([[_cpu_s(ours), _cpu_s(whole)] for _ in range(runs)]))


def _read(
    document: bytes, edition: Edition | None, before: Reading | None
) -> tuple[Edition, Reading]:
    sweep = Sweep(edition, may_stop=False)
    for piece in _pieces(document):
        sweep.take(piece)
    sweep.finish()
    reading = sweep.read(before)
    fetched = Fetched(Validators(), len(document), len(document), complete=True)
    return sweep.edition(fetched, reading), reading


def _pieces(document: bytes) -> Iterator[bytes]:
    return (document[at : at + PIECE_BYTES] for at in range(0, len(document), PIECE_BYTES))


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
