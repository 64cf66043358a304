"""The map of the code names every place there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAP = (ROOT / "docs" / "architecture.md").read_text()
NAMED = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([a-z_/.{},]+)`", MAP))))
HERE = sorted({*(ROOT / "monitor").iterdir(), *(ROOT / "monitor" / "core").glob("*.py")})


@pytest.mark.parametrize(
    "place",
    [place for place in HERE if not place.name.startswith("__")],
    ids=lambda place: place.stem,
)
def test_every_module_of_the_program_and_of_its_decisions_is_on_the_map(place):
    assert place.stem in NAMED
