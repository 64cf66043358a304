"""Captured feeds, served on loopback to the whole service: each becomes its list of episodes."""

import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.demo import status
from monitor.demo.publisher import Publisher
from monitor.demo.server import World, serve_in_thread
from monitor.demo.stenobird import Replica
from tests.core.test_parse_census import CENSUS

pytestmark = pytest.mark.shared

EVERY = 6  # of the captured feeds, one in so many: all of them are read in the census

HEAD = """
database = "sqlite:///{directory}/captured.db"
log.format = "json"
network.allow_private = true
network.per_host_interval = "1ms"
stenobird.base_url = "{url}"
"""
PODCAST = """
[[podcasts]]
name = "{name}"
feed = "{url}{path}"
stenobird = "{name}"
backfill = "none"
"""


def _census() -> dict[str, tuple[str, int]]:
    """Return how each captured feed is read, and how many episodes it has."""
    rows = csv.DictReader(CENSUS.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    return {r["feed"]: (r["outcome"], int(r["episodes"].replace("-", "0"))) for r in rows}


def _command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor", "--config", str(config), *arguments],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        timeout=100,
    )


def test_captured_feeds_become_the_episodes_that_the_census_counted(shared, tmp_path):
    census = _census()
    files = sorted((shared / "feeds" / "podcasts").iterdir())[::EVERY]
    names = {f"p{n}": file.name for n, file in enumerate(files)}
    publishers = [Publisher(name, clock=lambda: datetime.now(UTC)) for name in names]
    for publisher, file in zip(publishers, files, strict=True):
        publisher.faults.always(status(200, body=file.read_bytes()))
    world = World(*publishers, replica=Replica({}, clock=lambda: datetime.now(UTC)))
    config = tmp_path / "captured.toml"
    with serve_in_thread(world) as url:
        parts = [PODCAST.format(name=p.name, url=url, path=p.path) for p in publishers]
        config.write_text(HEAD.format(directory=tmp_path, url=url) + "".join(parts))
        ran = _command(config, "run", "--once")
    assert "Traceback" not in ran.stderr
    listed = _command(config, "episodes", "--json").stdout.splitlines()
    guids = [(e["podcast"], e["guid"]) for e in map(json.loads, listed)]
    assert len(set(guids)) == len(guids)
    counted = {name: sum(1 for podcast, _ in guids if podcast == name) for name in names}
    assert counted == {name: census[file][1] for name, file in names.items()}
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    polled = {e["podcast"]: e for e in lines if e["event"] == "feed.polled"}
    outcomes = {name: line.get("reason", "read") for name, line in polled.items()}
    assert outcomes == {name: census[file][0] for name, file in names.items()}
