"""What was read of some captured feeds, item by item, and looked at by a person beside the source.

``captured/<name>.json`` holds, of feeds of different hosts with different oddities, the first five
items, the last two, and odd ones between. Where a change is meant, write them anew and look at each
that changed: ``PYTHONPATH=. python tests/core/test_captured.py``. To have another item, name its
number under ``shown``. They hold plain facts only: the texts belong to their publishers.
"""

import json
import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.core.model import ObservedEpisode, Reading
from monitor.core.parse import read_whole

pytestmark = pytest.mark.shared

FOLDER = Path(__file__).with_name("captured")
FEEDS = "feeds/podcasts"
CAPTURED = sorted(FOLDER.glob("*.json"))
TOKEN = re.compile(r"token=[^&]*")


def shown(reading: Reading, indexes: list[int]) -> dict[str, Any]:
    """Return what the files have of a document: counts, and the items at *indexes*."""
    return {
        "items": len(reading.items),
        "episodes": sum(episode is not None for episode in reading.items),
        "link": reading.link,
        "shown": [{"item": index} | _facts(reading.items[index]) for index in indexes],
    }


def _facts(episode: ObservedEpisode | None) -> dict[str, Any]:
    if episode is None:
        return {"episode": None}
    facts = {name: value for name, value in asdict(episode).items() if value is not None}
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    # One feed was captured with its subscriber's token.
    return TOKEN.sub("token=…", value) if isinstance(value, str) else value


def test_there_are_more_than_a_dozen():
    assert len(CAPTURED) > 12


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_captured_feed_is_read_as_a_person_read_it(shared, path):
    expected = json.loads(path.read_text(encoding="utf-8"))
    reading = read_whole((shared / FEEDS / expected.pop("feed")).read_bytes())
    assert shown(reading, [facts["item"] for facts in expected["shown"]]) == expected


def _write_all() -> None:
    feeds = Path(__file__).resolve().parents[3] / "shared" / FEEDS
    for path in CAPTURED:
        old = json.loads(path.read_text(encoding="utf-8"))
        indexes = sorted({facts["item"] for facts in old["shown"]})
        facts = {"feed": old["feed"]} | shown(
            read_whole((feeds / old["feed"]).read_bytes()), indexes
        )
        path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write_all()
