"""The benchmarks work: no figure is asserted here, only that what is measured is what is meant."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from benchmarks.daemon import ON_DEMAND, Daemon
from benchmarks.documents import KINDS, Feed
from benchmarks.figures import HEADINGS, Row, part, put, table
from benchmarks.processes import Origin, Rival, output, python
from benchmarks.year import measure
from benchmarks.year import page as year_page
from monitor.core.parse import parse_feed

SIZES = {"small": 74_000, "medium": 843_000, "large": 8_400_000, "transcripts": 14_500_000}


@pytest.mark.parametrize("kind", SIZES)
def test_a_document_has_the_size_that_is_claimed(kind):
    document = Feed(f"{kind}-0", KINDS[kind]).document()
    assert len(document) == pytest.approx(SIZES[kind], rel=0.01)


def test_a_document_is_the_same_every_time_and_a_feed_that_can_be_read():
    first, second = (Feed("small-0", KINDS["small"]) for _ in range(2))
    assert first.document() == second.document()
    first.touch()
    assert first.document() != second.document()
    assert parse_feed(first.document()) == parse_feed(second.document())
    first.publish()
    episodes = parse_feed(first.document()).episodes
    assert len(episodes) == KINDS["small"].items + 1
    assert episodes[0].published_at > episodes[1].published_at


@pytest.fixture(scope="module")
def origin():
    with Origin({"small": 2, "large": 1}, {"small": 3, "large": 10}) as origin:
        yield origin


def _get(url, **headers):
    with urlopen(Request(url, headers=headers)) as answer:
        return answer.headers, answer.read()


def test_the_origin_sends_gzip_to_those_who_ask_for_it(origin):
    url = origin.feeds()["small-0"]
    _, plain = _get(url)
    headers, zipped = _get(url, **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped) == plain
    assert origin.command("sizes")["small-0"] == [len(plain), len(zipped)]


def test_us_and_the_script_are_asked_to_do_the_same(origin, tmp_path):
    feeds = origin.feeds()
    script = Rival("script", tmp_path / "script", list(feeds.values()))
    with Daemon(tmp_path / "us", feeds, poll=ON_DEMAND.format(least="1s")) as daemon:
        daemon.until_polled()
        origin.counts()
        script.poll()
        assert origin.counts().answers == {"200": 3}
        origin.command("touch")
        for poll in (lambda: daemon.sweep()[0], script.poll):
            poll()
            counts = origin.counts()
            assert counts.answers == {"200": 3}
            assert counts.sent_bytes > 0
        cost, lines = daemon.sweep()
        assert origin.counts().answers == {"304": 3}
        assert {line["outcome"] for line in lines} == {"not_modified"}
        assert cost.cpu_s > 0


def test_the_parts_are_measured_in_pairs():
    assert all(len(pair) == 2 for pair in json.loads(output(python("parse_one", "1", "4"))))
    [sweep] = json.loads(output(python("keep_books", "1")))
    assert set(sweep) == {"claim", "outcomes", "rows"}


def test_a_year_adds_history_and_ledger_and_nothing_else():
    lived = measure(1, timedelta(days=2))
    grown = {name for name, rows in lived.after.rows.items() if rows > lived.before.rows[name]}
    assert grown == {"aliases", "episodes", "events", "posts", "requests", "words"}
    assert lived.published == lived.events["request.processed"] == 1
    assert sum(lived.events.values()) == lived.after.rows["events"] - lived.before.rows["events"]
    assert lived.polls > 80
    assert lived.after.rows["words"] == 4
    told = year_page(lived, timedelta(days=2))
    assert "Unchanged: counters, daemons, editions, freezes, podcasts, problems." in told


def test_a_row_compares_the_median_with_its_target():
    row = Row("m", "them", 1 / 40, [1 / 50, 1 / 45, 1 / 20], part)
    assert row.cells() == ("m", "them", "≤ 1/40", "1/45", "1/50 … 1/20", "3", "yes", "")
    assert Row("m", "them", 1 / 40, [], part).cells()[3:6] == ("not measured", "", "0")
    header, rule, line = table(HEADINGS, [row.cells()]).splitlines()
    assert len(header) == len(rule) == len(line)


@pytest.mark.parametrize(
    ("page", "name"), [("performance", "bench"), ("scaling", "growth"), ("keeping", "year")]
)
def test_a_page_has_a_place_for_its_tables(page, name, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / f"{page}.md").read_text()
    assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1
    copy = tmp_path / "page.md"
    copy.write_text(text)
    put(name, "the new table", copy)
    assert f"<!-- {name} -->\n\nthe new table\n\n<!-- /{name} -->" in copy.read_text()
