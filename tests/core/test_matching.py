"""Which observed episode is which known one: keys, kept for ever, and likeness, once."""

from dataclasses import replace

import pytest

from monitor.core.likeness import bare
from monitor.core.matching import match
from monitor.core.model import Alias
from tests.core.scenarios import DAY, HOUR, NOW, WEEK, document, item, podcast, show

A, B, C = show(3)  # newest first


def matched(before, *observed, **facts):
    """Return what matching makes of a document after *before* was the last one."""
    return match(podcast(*before).known, document(*observed, **facts), now=NOW)


def as_whom(match):
    """Return the guids observed, by the id of the episode that each is."""
    return {episode_id: observed.guid for episode_id, observed in match.known.items()}


def news(match):
    return [observed.guid for observed, _ in match.new]


# --- keys --------------------------------------------------------------------------------


def test_the_same_document_again_brings_nothing():
    again = matched([A, B, C], A, B, C)
    assert as_whom(again) == {1: "e3", 2: "e2", 3: "e1"}
    assert (again.new, again.aliases, again.vanished, again.returned) == ((), (), (), ())


def test_a_new_episode_is_known_by_its_guid_post_id_and_link():
    new = item("new", post_id="77")
    ((_, keys),) = matched([A], new, A).new
    assert keys == (
        ("guid", "new"),
        ("post_id", "77"),
        ("link", "https://show.example/new"),
    )


def test_a_new_guid_with_a_known_link_is_an_alias_where_the_old_guid_is_gone():
    moved = replace(A, guid="ulid", audio_url="https://other.example/1.mp3", title="Edited")
    found = matched([A, B], moved, B)
    assert as_whom(found) == {2: "e2", 1: "ulid"}
    assert found.aliases == (Alias(1, "guid", "ulid"),)
    assert found.new == ()


def test_a_new_guid_with_a_known_link_is_an_episode_where_the_old_guid_is_there():
    other = replace(A, guid="ulid")
    found = matched([A, B], other, A, B)
    assert news(found) == ["ulid"]
    assert found.new[0][1] == (("guid", "ulid"),), "the link stays the first one's"


def test_a_post_id_is_a_stronger_key_than_a_link():
    first = item("first", post_id="1", published_at=NOW - WEEK)
    by_link = item("x", link=first.link, published_at=NOW - WEEK)
    by_post = item("y", post_id="1", published_at=NOW - WEEK)
    found = matched([first, B], by_link, by_post, B)
    assert as_whom(found) == {2: "e2", 1: "y"}
    assert news(found) == ["x"]


def test_keys_of_two_episodes_lead_to_neither():
    first = item("first", post_id="1", published_at=NOW - WEEK)
    second = item("second", published_at=NOW - WEEK)
    both = item("both", post_id="1", link=second.link, published_at=NOW - WEEK)
    found = matched([first, second, B], both, B)
    assert news(found) == ["both"]
    assert found.new[0][1] == (("guid", "both"),)


def test_a_key_is_known_for_ever_also_of_an_episode_that_left_the_feed_long_ago():
    show = podcast(A, B)
    show.poll(A)
    found = match(show.known, document(A, replace(B, guid="again")), now=NOW)
    assert as_whom(found) == {1: "e3", 2: "again"}
    assert found.returned == (2,)


def test_two_known_guids_of_one_episode_in_one_document_are_that_one_episode():
    show = podcast(A, B)
    show.poll(replace(A, guid="alias"), B)
    found = match(show.known, document(A, replace(A, guid="alias"), B), now=NOW)
    assert as_whom(found) == {1: "e3", 2: "e2"}
    assert (found.new, found.aliases, found.vanished) == ((), (), ())


def test_the_second_guid_of_a_known_episode_is_nobody_elses_either():
    show = podcast(A, B, C)
    show.poll(replace(A, guid="alias"), B, C)
    like_c = replace(C, guid="alias", link=None)
    found = match(show.known, document(A, like_c, B), now=NOW)
    assert found.vanished == (3,)
    assert as_whom(found) == {1: "e3", 2: "e2"}


# --- links that are none -----------------------------------------------------------------


def test_a_link_that_two_items_share_names_neither():
    shared = "https://show.example/season"
    found = matched([A], replace(B, link=shared), replace(C, link=shared), A)
    assert [keys for _, keys in found.new] == [(("guid", "e2"),), (("guid", "e1"),)]


def test_a_post_id_that_two_items_share_names_neither():
    found = matched([A], item("x", post_id="1"), item("y", post_id="1"), A)
    assert all(kind != "post_id" for _, keys in found.new for kind, _ in keys)


@pytest.mark.parametrize(
    ("channel", "link"),
    [
        ("https://show.example", "https://show.example"),
        ("https://show.example", "https://show.example/"),
        ("http://www.show.example/", "https://show.example"),
    ],
)
def test_the_shows_own_link_names_no_episode(channel, link):
    found = matched([A], replace(B, link=link), A, link=channel)
    assert found.new[0][1] == (("guid", "e2"),)


def test_a_link_with_a_query_is_not_the_front_page():
    link = "https://show.example/?p=77"
    found = matched([A], replace(B, link=link), A, link="https://show.example/")
    assert ("link", link) in found.new[0][1]


def test_a_relative_link_is_a_key_like_any_other():
    found = matched([A], replace(B, link="/e2"), A)
    assert ("link", "/e2") in found.new[0][1]


def test_an_item_without_a_link_has_none_for_a_key():
    found = matched([A], replace(B, link=None), A)
    assert found.new[0][1] == (("guid", "e2"),)


def test_a_link_given_to_a_newer_episode_does_not_make_it_the_old_one():
    latest = "https://show.example/latest"
    newer = replace(B, guid="b", link=latest, published_at=NOW - HOUR)
    found = matched([replace(A, link=latest)], newer)
    assert news(found) == ["b"]
    assert found.new[0][1] == (("guid", "b"),)


@pytest.mark.parametrize("kept", ["title", "audio_url", "published_at"])
def test_a_link_is_believed_where_one_more_thing_is_the_same(kept):
    other = {"title": "Edited", "audio_url": "https://x.example/1", "published_at": NOW - HOUR}
    moved = replace(A, guid="moved", **{k: v for k, v in other.items() if k != kept})
    assert as_whom(matched([A, B], moved, B))[1] == "moved"


def test_a_link_alone_is_believed_where_its_owner_vanished_only_now():
    moved = replace(item("moved", published_at=A.published_at - DAY), link=A.link)
    show = podcast(A, B)
    assert as_whom(match(show.known, document(moved, B), now=NOW))[1] == "moved"
    show.poll(B)
    assert news(match(show.known, document(moved, B), now=NOW)) == ["moved"]


def test_the_link_of_a_season_does_not_make_its_second_episode_the_first():
    season = [replace(e, link="https://show.example/season") for e in (A, B)]
    show = podcast(season[1], C)
    show.poll(*season, C)
    moved = replace(season[0], guid="moved", audio_url="https://other.example/3.mp3")
    assert as_whom(match(show.known, document(moved, C), now=NOW))[3] == "moved"


# --- likeness ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"audio_url": f"{A.audio_url}?token=2"}, id="the audio but for its query"),
        pytest.param({"title": A.title, "duration_s": A.duration_s}, id="title and duration"),
        pytest.param({"title": A.title, "published_at": A.published_at}, id="title and day"),
    ],
)
def test_what_appeared_is_what_vanished_where_only_these_two_have_the_same(same):
    appeared = item("appeared", published_at=A.published_at - 3 * DAY)
    found = matched([A, B, C], replace(appeared, **same), B, C)
    assert as_whom(found) == {2: "e2", 3: "e1", 1: "appeared"}
    assert Alias(1, "guid", "appeared") in found.aliases


@pytest.mark.parametrize(
    "same",
    [
        pytest.param({"title": A.title}, id="the title"),
        pytest.param({"duration_s": A.duration_s}, id="the duration"),
        pytest.param({"published_at": A.published_at}, id="the day"),
        pytest.param({"title": "", "published_at": A.published_at}, id="no title, and the day"),
    ],
)
def test_one_thing_alone_makes_no_likeness(same):
    appeared = replace(item("appeared", published_at=A.published_at - 3 * DAY), **same)
    found = matched([A, B, C], appeared, B, C)
    assert news(found) == ["appeared"]
    assert found.vanished == (1,)


def test_likeness_is_no_reason_while_the_old_guid_is_there():
    twin = replace(A, guid="twin", link=None)
    assert news(matched([A, B], twin, A, B)) == ["twin"]


def gone_for_longer(*others):
    """Return a podcast whose newest episode left the document before the last one."""
    show = podcast(A, B, C, *others)
    show.poll(B, C, *others)
    return show.known


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({"title": A.title, "published_at": A.published_at}, id="title and date"),
        pytest.param({"title": A.title, "audio_url": A.audio_url}, id="a rerun"),
    ],
)
def test_likeness_is_seldom_a_reason_once_the_old_guid_is_gone_for_longer(kept):
    found = match(gone_for_longer(), document(item("a", **kept), B, C), now=NOW)
    assert news(found) == ["a"]


def test_an_episode_that_comes_back_under_a_new_guid_has_its_address_and_its_day():
    hours_later = A.published_at + 7 * HOUR
    back = item("a", audio_url=f"{A.audio_url}?v=2", published_at=hours_later)
    newest = item("newest", published_at=NOW - HOUR)  # or what came back would be dated as news
    found = match(gone_for_longer(newest), document(newest, back, B, C), now=NOW)
    assert as_whom(found)[1] == "a"
    assert news(found) == []


def test_what_comes_back_from_another_host_has_its_title_its_file_name_and_its_day():
    newest = item("newest", published_at=NOW - HOUR)
    back = item("a", audio_url="https://new.example/e3.mp3", title=A.title)
    back = replace(back, published_at=A.published_at + HOUR)
    found = match(gone_for_longer(newest), document(newest, back, B, C), now=NOW)
    assert as_whom(found)[1] == "a"
    other = replace(back, audio_url="https://new.example/e3-again.mp3")
    assert news(match(gone_for_longer(newest), document(newest, other, B, C), now=NOW)) == ["a"]


def test_one_address_for_all_bulletins_of_a_day_tells_none_from_the_others():
    bulletins = [bulletin(-n, link=None, audio_url="https://x.example/n.mp3") for n in range(2, 6)]
    show = podcast(*bulletins, at=NOW - HOUR)
    show.poll(bulletins[0])
    forgotten = bulletin(-9, link=None, audio_url="https://x.example/n.mp3")
    assert news(match(show.known, document(bulletins[0], forgotten), now=NOW)) == ["b-9"]


def undated(count, host):
    """Return a show that gives no dates, on one of its hosts."""
    return [
        item(f"{host}{n}", title=f"About {n}", audio_url=f"https://{host}.example/{n}.mp3")
        for n in range(count)
    ]


@pytest.mark.parametrize(("count", "moved"), [(1, False), (2, False), (3, True), (9, True)])
def test_a_show_without_dates_that_moves_is_known_by_titles_and_file_names(count, moved):
    facts = {"published_at": None, "link": None}
    before, after = ([replace(e, **facts) for e in undated(count, host)] for host in "ab")
    assert bool(matched(before, *after).aliases) is moved


@pytest.mark.parametrize(
    ("differs", "is_news"),
    [
        pytest.param({}, False, id="in nothing but guid and hour"),
        pytest.param({"title": "Another"}, True, id="in its title"),
        pytest.param({"title": B.title}, True, id="in its title, which is another's"),
        pytest.param({"audio_url": "https://cdn.example/x.mp3"}, True, id="in its address"),
        pytest.param({"published_at": A.published_at + DAY}, True, id="in its day"),
    ],
)
def test_the_newest_episode_replaced_by_a_later_one_is_the_same_if_it_differs(differs, is_news):
    later = replace(A, guid="a", link=None, published_at=A.published_at + HOUR)
    found = matched([A, B, C], replace(later, **differs), B, C)
    assert (news(found) == ["a"]) is is_news


def test_an_episode_dated_anew_while_its_feed_moves_is_the_old_one():
    now = [replace(e, guid=f"local {e.guid}", link=None) for e in show(4)]
    now[0] = replace(now[0], published_at=NOW - HOUR)
    assert as_whom(matched(show(4), *now)) == dict(enumerate((e.guid for e in now), start=1))
    assert news(matched(show(4), now[0], *show(4)[1:])) == [now[0].guid], "by itself it is news"


def test_of_two_that_appeared_alike_neither_is_the_one_that_vanished():
    twins = [replace(A, guid=guid, link=None) for guid in ("x", "y")]
    found = matched([A, B], *twins, B)
    assert news(found) == ["x", "y"]
    assert found.vanished == (1,)


def test_of_two_that_vanished_alike_neither_is_the_one_that_appeared():
    twin = replace(A, guid="twin", link=None)
    found = matched([A, twin, B], replace(A, guid="x", link=None), B)
    assert news(found) == ["x"]
    assert found.vanished == (1, 2)


def test_a_title_that_is_also_anothers_is_no_likeness():
    same = {"title": "The News", "duration_s": 300, "link": None}
    stays, goes = replace(A, **same), replace(B, **same)
    appeared = item("x", **same, published_at=B.published_at - 3 * DAY)
    found = matched([stays, goes], stays, appeared)
    assert news(found) == ["x"]
    assert found.vanished == (2,)


def test_a_title_that_another_has_from_now_on_is_no_likeness():
    same = {"title": "The News", "duration_s": 300, "link": None}
    goes, appeared = replace(B, **same), item("x", **same, published_at=B.published_at - 3 * DAY)
    assert news(matched([A, goes], replace(A, **same), appeared)) == ["x"]


def test_of_many_on_one_day_with_one_title_the_instant_tells_which():
    hourly = [bulletin(-n, link=None) for n in range(1, 5)]
    moved = [replace(b, guid=f"x{b.guid}", audio_url=f"https://x.example/{b.guid}") for b in hourly]
    assert as_whom(matched(hourly, *moved)) == dict(enumerate((b.guid for b in moved), start=1))


def test_a_stronger_likeness_is_settled_before_a_weaker_one():
    by_audio = item("a", audio_url=A.audio_url, published_at=B.published_at)
    by_title = item("b", title=A.title, published_at=A.published_at)
    found = matched([A, C], by_title, by_audio, C)
    assert as_whom(found) == {2: "e1", 1: "a"}
    assert news(found) == ["b"]


def test_the_order_of_aliases_is_the_documents():
    renamed = [replace(e, guid=f"new {e.guid}", link=None) for e in show(9)]
    found = matched(show(9), *renamed)
    assert [alias.value for alias in found.aliases] == [e.guid for e in renamed]


# --- news --------------------------------------------------------------------------------


def bulletin(hour, **facts):
    """Return one of many that differ in nothing but guid and time."""
    same = {"title": "The News", "duration_s": 300, "link": "https://show.example/news"}
    return item(f"b{hour}", published_at=NOW + hour * HOUR, **{**same, **facts})


@pytest.mark.parametrize("window", [1, 2, 3, 10])
@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"link": None}, id="without links"),
        pytest.param({"link": None, "audio_url": "https://x.example/news.mp3"}, id="one address"),
        pytest.param({"title": "The News at {hour}"}, id="one link"),
        pytest.param({}, id="one link and one title"),
    ],
)
def test_bulletins_that_are_all_alike_are_each_discovered_once(window, facts):
    show = podcast(at=NOW)
    for newest in range(1, 15):
        hours = range(newest, max(0, newest - window), -1)
        own = [{k: v and v.format(hour=hour) for k, v in facts.items()} for hour in hours]
        bulletins = map(lambda hour, f: bulletin(hour, **f), hours, own)
        show.poll(*bulletins, at=NOW + (newest + 0.5) * HOUR)
    assert [e.guid for e in show.episodes.values()] == [f"b{hour}" for hour in range(1, 15)]


def test_a_pinned_episode_from_the_future_makes_nothing_old():
    pinned = item("pinned", published_at=NOW + 9999 * DAY)
    newer = bulletin(-1, link=None)
    found = matched([pinned, bulletin(-2, link=None)], pinned, newer)
    assert news(found) == ["b-1"]


def test_an_undated_item_can_still_be_recognised():
    undated = replace(A, published_at=None)
    assert as_whom(matched([undated], replace(undated, guid="x", link=None))) == {1: "x"}


# --- what a match tells besides ----------------------------------------------------------


def test_three_replaced_guids_are_a_migration_and_two_are_none():
    three, two = (
        matched(show(5), *(replace(e, guid=f"n{e.guid}") for e in show(5)[:n]), *show(5)[n:])
        for n in (3, 2)
    )
    assert (three.migration, two.migration) == (True, False)


def test_what_vanished_is_told_once():
    show = podcast(A, B)
    assert show.poll(A).vanished == (2,)
    assert show.poll(A).vanished == ()
    assert show.poll(A, B).returned == (2,)


@pytest.mark.parametrize(
    ("url", "without"),
    [
        ("https://a/b.mp3", "https://a/b.mp3"),
        ("https://a/b.mp3?x=1#t", "https://a/b.mp3"),
        ("https://a/b.mp3#t?x", "https://a/b.mp3"),
        ("", ""),
    ],
)
def test_a_bare_address_has_neither_query_nor_fragment(url, without):
    assert bare(url) == without
