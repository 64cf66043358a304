"""The bytes of refused answers: a few files, each for one podcast and reason."""

import gzip
import os
import resource
import signal
from pathlib import Path

import pytest

from monitor.adapters import evidence
from monitor.adapters.evidence import Evidence


@pytest.fixture
def place(tmp_path):
    return tmp_path / "x.db.evidence"


def kept(place: Path) -> dict[str, bytes]:
    return {path.name: gzip.decompress(path.read_bytes()) for path in place.glob("*.gz")}


def test_what_came_is_kept_for_its_owner_alone(place):
    Evidence(place).keep("show", "html_page", [b"<ht", b"ml>"], gzipped=False)
    assert kept(place) == {"show-html_page.xml.gz": b"<html>"}
    assert place.stat().st_mode & 0o777 == 0o700
    assert next(place.iterdir()).stat().st_mode & 0o777 == 0o600


def test_what_came_compressed_is_kept_as_it_came(place):
    wire = gzip.compress(b"<html>")
    Evidence(place).keep("show", "html_page", [wire[:5], wire[5:]], gzipped=True)
    assert kept(place) == {"show-html_page.xml.gz": b"<html>"}


def test_one_file_a_podcast_and_reason_and_five_in_all(place):
    ring = Evidence(place)
    for n in range(8):
        ring.keep("broken", "truncated", [b"%d" % n], gzipped=False)
    for n in range(6):
        ring.keep(f"other{n}", "truncated", [b"%d" % n], gzipped=False)
        os.utime(place / f"other{n}-truncated.xml.gz", (n, n))
    assert len(kept(place)) == 5
    assert kept(place)["broken-truncated.xml.gz"] == b"7"


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_failure_without_a_body_pushes_nothing_out(place, gzipped):
    Evidence(place).keep("show", "timeout", [], gzipped=gzipped)
    assert not place.exists()


def test_no_name_leads_out_of_the_directory(place):
    Evidence(place).keep("../../etc/passwd\n", "a/b", [b"x"], gzipped=False)
    assert list(kept(place)) == [".._.._etc_passwd_-a_b.xml.gz"]


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_long_body_is_cut_and_its_name_says_so(place, monkeypatch, gzipped):
    monkeypatch.setattr(evidence, "MAX_BYTES", 1000)
    wire = [os.urandom(700) for _ in range(3)]
    Evidence(place).keep("show", "truncated", wire, gzipped=gzipped)
    (path,) = place.iterdir()
    assert (path.name, path.stat().st_size) == ("show-truncated.cut.xml.gz", 1000)


def test_a_body_of_just_that_length_is_whole(place, monkeypatch):
    monkeypatch.setattr(evidence, "MAX_BYTES", 1000)
    Evidence(place).keep("show", "truncated", [os.urandom(500)] * 2, gzipped=True)
    assert [path.name for path in place.iterdir()] == ["show-truncated.xml.gz"]


def test_no_more_is_read_than_is_kept(place, monkeypatch):
    monkeypatch.setattr(evidence, "MAX_BYTES", 1000)
    wire = iter([os.urandom(700)] * 100)
    Evidence(place).keep("show", "truncated", wire, gzipped=True)
    assert len(list(wire)) == 98


def test_the_newest_stands_for_a_podcast_and_reason_cut_or_whole(place, monkeypatch):
    monkeypatch.setattr(evidence, "MAX_BYTES", 1000)
    for size, name in ((10, "s-x.xml.gz"), (2000, "s-x.cut.xml.gz"), (10, "s-x.xml.gz")):
        Evidence(place).keep("s", "x", [os.urandom(size)], gzipped=True)
        assert [path.name for path in place.iterdir()] == [name]


def test_what_a_killed_process_left_half_written_is_cleared_away(place):
    place.mkdir()
    (place / ".abc.part").write_bytes(b"half")
    Evidence(place).keep("show", "html_page", [b"<html>"], gzipped=False)
    assert [path.name for path in place.iterdir()] == ["show-html_page.xml.gz"]


def test_a_full_disk_loses_the_evidence_and_nothing_else(place):
    ring = Evidence(place)
    ring.keep("show", "truncated", [b"before"], gzipped=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        ring.keep("show", "truncated", [os.urandom(5000)], gzipped=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert kept(place) == {"show-truncated.xml.gz": b"before"}
    assert len(list(place.iterdir())) == 1


def test_where_no_directory_can_be_nothing_is_kept(tmp_path):
    (tmp_path / "file").write_text("")
    Evidence(tmp_path / "file" / "under").keep("show", "truncated", [b"x"], gzipped=False)
