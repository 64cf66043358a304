"""What is cut says the same as what feedparser reads whole, in every document we own, for ever.

What cannot be cut is read whole, and says the same by that. How much that is is counted, so that a
cut that gives up too soon shows.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.core.cut import UncutError
from monitor.core.model import Fetched, ParseError, Reading, Validators
from monitor.core.parse import read_whole
from monitor.core.sweep import Sweep

pytestmark = pytest.mark.shared

PIECE = 8_192
NTH = 4  # of the documents, in every run of the tests; all of them in `make corpus`


def documents(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_dir():
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            yield path.relative_to(place).as_posix(), path.read_bytes()
        return
    with tarfile.open(place) as archive:
        for member in archive:
            if (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()


def whole(body: bytes) -> Reading | str:
    try:
        return read_whole(body)
    except ParseError as error:
        return error.reason


def cut(body: bytes, sweep: Sweep, before: Reading | None = None) -> Reading | str:
    for at in range(0, len(body), PIECE):
        if not sweep.take(body[at : at + PIECE]):
            break
    else:
        sweep.finish()
    try:
        return sweep.read(before)
    except UncutError:
        return "uncut"
    except ParseError as error:
        return error.reason


def one_by_one(body: bytes, reading: Reading) -> None:
    """Take the document as if each of some items were the only new one."""
    sweep = Sweep(None, may_stop=False)
    if cut(body, sweep) == "uncut":
        return
    edition = sweep.edition(Fetched(Validators(), 1, 1, complete=True), reading)
    for at in range(0, len(reading.items), max(1, len(reading.items) // 3)):
        digests = bytearray(edition.digests)
        digests[12 * at : 12 * at + 12] = bytes(12)
        marks = bytearray(edition.marks)
        marks[8 * at : 8 * at + 8] = bytes(8)
        last = type(edition)(bytes(marks), bytes(digests), True, 0, 1, 1)
        assert cut(body, Sweep(last, may_stop=False), reading).items == reading.items


def compared(place: Path, *, nth: int) -> Counter[str]:
    """Compare documents read both ways; return how many were cut, uncut and refused."""
    found: Counter[str] = Counter()
    for n, (name, body) in enumerate(documents(place)):
        if n % nth:
            continue
        said, expected = cut(body, Sweep(None, may_stop=False)), whole(body)
        if said == "uncut":
            found["uncut"] += 1
            continue
        assert said == expected, name
        found["cut" if isinstance(said, Reading) else "refused"] += 1
        if isinstance(expected, Reading) and expected.alone and n % (5 * nth) == 0:
            one_by_one(body, expected)
    return found


def test_every_fourth_captured_feed_and_sixtieth_odd_document_says_the_same(shared):
    found = compared(shared / "feeds" / "podcasts", nth=NTH)
    assert found["uncut"] / found.total() < 0.15
    assert compared(shared / "feeds" / "wild", nth=60)["cut"] > 30


@pytest.mark.corpus
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("podcasts", {"cut": 213, "uncut": 27}),
        ("podcasts_large.tar.xz", {"cut": 57, "uncut": 2}),
        ("wild", {"cut": 2031, "uncut": 1608, "refused": 859}),
    ],
)
def test_every_document_says_the_same(shared, place, expected):
    assert compared(shared / "feeds" / place, nth=1) == expected
