"""The replay behind ``make foresight``: what it knows, what it counts, and that its rivals are theirs."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from benchmarks.foresight.feeds import History, histories, latent_space
from benchmarks.foresight.policies import CONTENDERS, commafeed, fixed, learned, miniflux, reader
from benchmarks.foresight.replay import DAY, replay

NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
WEEKLY = History("weekly", [NOON + n * 7 * DAY for n in range(60)])
ANYWHEN = History("anywhen", [NOON + Random(n).random() * 300 * DAY for n in range(120)])


def lived(policy, history=WEEKLY, per_day=24, seed=1):
    return replay(history, policy, per_day, Random(seed))


def test_a_fixed_interval_is_the_measure():
    outcomes = [lived(fixed, seed=seed) for seed in range(40)]
    assert sum(outcome.mean() for outcome in outcomes) / 40 == pytest.approx(1, abs=0.1)
    assert outcomes[0].polls() == pytest.approx(24, rel=0.02)


def test_the_daemons_rule_finds_a_punctual_show_much_sooner_with_no_more_polls():
    ours, even = lived(learned), lived(fixed)
    assert ours.mean() < even.mean() / 3
    assert ours.polls() <= even.polls()


def test_a_policy_knows_only_what_its_polls_have_found():
    seen = []

    def contender(per_day, _coming):
        def policy(now, found):
            seen.append((now, list(found)))
            return now + DAY / per_day

        return policy

    lived(contender)
    assert all(max(found) <= now for now, found in seen)


def test_what_is_polled_in_any_24_hours_is_capped():
    polls = []

    def contender(per_day, coming):
        policy = learned(per_day, coming)

        def noted(now, found):
            polls.append(now)
            return policy(now, found)

        return noted

    lived(contender, ANYWHEN)
    assert max(sum(at - DAY < other <= at for other in polls[:2000]) for at in polls[:2000]) <= 30


@pytest.mark.parametrize(
    ("rival", "gaps", "silent", "after"),
    [
        pytest.param(miniflux, [7 * DAY] * 9, DAY, HOUR, id="miniflux: few entries, the most"),
        pytest.param(miniflux, [HOUR / 2] * 400, HOUR / 2, HOUR / 2, id="miniflux: their rate"),
        pytest.param(commafeed, [7 * DAY] * 9, DAY, HOUR, id="CommaFeed: a quarter of the most"),
        pytest.param(commafeed, [DAY] * 9, 31 * DAY, 4 * HOUR, id="CommaFeed: long silent"),
        pytest.param(commafeed, [HOUR] * 9, HOUR, HOUR / 2, id="CommaFeed: half the mean gap"),
        pytest.param(reader, [DAY] * 9, DAY, HOUR, id="reader: the next full hour"),
    ],
)
def test_a_rivals_rule_is_the_one_of_its_source(rival, gaps, silent, after):
    found = [NOON - silent]
    for gap in gaps:
        found.insert(0, found[0] - gap)
    wanted = rival(24, found)(NOON, found)
    assert wanted - NOON == pytest.approx(after, abs=MINUTE)


@pytest.mark.shared
def test_the_real_histories_are_long_distinct_and_split():
    feeds = [*histories()]
    assert len(feeds) > 100
    assert all(len(feed.drops) <= 200 for feed in feeds)
    assert 0.2 < sum(feed.is_held_out for feed in feeds) / len(feeds) < 0.5
    assert len(latent_space().drops) > 50
    assert set(CONTENDERS) >= {"podcast-monitor", "miniflux", "CommaFeed", "reader", "oracle"}
