"""The demo's Stenobird: every dialect, and a ledger of effects that can be believed."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import httpx
import pytest

from monitor.core.model import Resource
from monitor.core.resource import read_json, read_markdown
from monitor.demo import ManualClock, lost_answer, reset, slow, status
from monitor.demo.publisher import Publisher, new_item, real_items
from monitor.demo.server import World, serve
from monitor.demo.stenobird import FAILS, Dialect, Replica

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 10, 12, 12, tzinfo=UTC)
ITEM = new_item(101, "What's New — w/ Ada", NOON - timedelta(hours=1), notes_chars=50)
OTHER = new_item(102, "Another", NOON - timedelta(hours=2), notes_chars=50)
SLUG = "what-s-new-w-ada"
PODCAST = "latent-space-ai-engineer"
RESOURCE = f"/v1/public/podcasts/{PODCAST}/episodes/{SLUG}"
MARKDOWN = f"/podcast/{PODCAST}/{SLUG}.md"


@dataclass(frozen=True)
class Visit:
    """A client of a replica that is being served."""

    replica: Replica
    publisher: Publisher
    clock: ManualClock
    client: httpx.AsyncClient

    async def get(self, path: str = RESOURCE) -> httpx.Response:
        return await self.client.get(path)

    async def post(self, key: str | None = "k", path: str = RESOURCE) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client.post(f"{path}/transcription-requests", headers=headers)

    async def state(self) -> str | None:
        return (await self.get()).json()["processing_state"]


@asynccontextmanager
async def visiting(dialect: Dialect | None = None, **settings):
    clock = ManualClock(NOON)
    publisher = Publisher("feed", [ITEM, OTHER], clock=clock)
    replica = Replica({PODCAST: publisher}, clock=clock, dialect=dialect or Dialect(), **settings)
    async with (
        serve(World(publisher, replica=replica)) as base_url,
        httpx.AsyncClient(base_url=base_url, timeout=5) as client,
    ):
        yield Visit(replica, publisher, clock, client)


# --- listing -----------------------------------------------------------------------------


async def test_the_one_known_slug_is_made_from_its_title():
    clock = ManualClock(NOON)
    publisher = Publisher("feed", real_items(notes_chars=50), clock=clock)
    replica = Replica({PODCAST: publisher}, clock=clock)
    known = (
        "mistral-voxtral-tts-forge-leanstral-what-s-next-for-mistral-4"
        "-w-pavan-kumar-reddy-guillaume-lample"
    )
    answer = replica.resource(PODCAST, known, origin="http://x")
    assert answer.status == 200
    assert b"substack.com/feed/podcast/192356063/" in answer.body


async def test_an_episode_is_listed_some_time_after_it_was_published():
    async with visiting(listed_after=timedelta(minutes=30)) as visit:
        visit.publisher.publish(new_item(103, "Backdated", NOON - timedelta(days=9)))
        path = f"/v1/public/podcasts/{PODCAST}/episodes/backdated"
        before = await visit.get(path)
        refused = await visit.post(path=path)
        visit.clock.turn(timedelta(minutes=30))
        after = await visit.get(path)
    assert [a.status_code for a in (before, refused, after)] == [404, 404, 200]
    assert visit.replica.effects == []


async def test_one_episode_may_be_listed_at_another_time_or_never():
    async with visiting() as visit:
        visit.replica.entry(ITEM.guid).listed_after = None
        assert (await visit.get()).status_code == 404
        visit.replica.entry(ITEM.guid).listed_after = timedelta(minutes=1)
        assert (await visit.get()).status_code == 200


async def test_what_leaves_the_feed_stays_listed():
    async with visiting() as visit:
        visit.publisher.remove(ITEM.guid)
        assert (await visit.get()).status_code == 200


@pytest.mark.parametrize(("slug_of", "found"), [("first_title", SLUG), ("title", "edited")])
async def test_a_slug_does_or_does_not_follow_an_edited_title(slug_of, found):
    async with visiting(Dialect(slug_of=slug_of)) as visit:
        visit.publisher.edit_title(ITEM.guid, "Edited")
        for slug in (SLUG, "edited"):
            answer = await visit.get(f"/v1/public/podcasts/{PODCAST}/episodes/{slug}")
            assert answer.status_code == (200 if slug == found else 404)


async def test_a_slug_may_be_set_by_hand():
    async with visiting() as visit:
        visit.replica.entry(ITEM.guid).slug = "by-hand"
        path = f"/v1/public/podcasts/{PODCAST}/episodes/by-hand"
        assert [(await visit.get(p)).status_code for p in (path, RESOURCE)] == [200, 404]


@pytest.mark.parametrize(
    ("form", "kind", "body"),
    [("json", "application/json", b"{"), ("html", "text/html", b"<"), ("empty", "", b"")],
)
async def test_a_404_comes_in_several_forms(form, kind, body):
    async with visiting(Dialect(not_found=form)) as visit:
        for path in ("/v1/public/podcasts/x/episodes/y", "/podcast/x/y.md", "/elsewhere"):
            answer = await visit.get(path)
            assert answer.status_code == 404
            assert answer.headers.get("content-type", "").startswith(kind)
            assert answer.content[:1] == body


# --- states ------------------------------------------------------------------------------


async def test_a_job_moves_on_when_it_is_told_to():
    async with visiting() as visit:
        seen = [await visit.state()]
        assert (await visit.post()).status_code == 202
        seen.append(await visit.state())
        for _ in range(3):
            visit.replica.advance()
            seen.append(await visit.state())
    assert seen == [None, "queued", "transcribing", "processed", "processed"]


async def test_a_job_moves_on_by_the_clock():
    async with visiting(step_every=timedelta(minutes=10)) as visit:
        visit.replica.entry(ITEM.guid).path = FAILS
        await visit.post()
        seen = []
        for _ in range(4):
            seen.append(await visit.state())
            visit.clock.turn(timedelta(minutes=10))
        visit.clock.turn(timedelta(minutes=-45))  # to before the job began: it does no harm
        seen.append(await visit.state())
    assert seen == ["queued", "transcribing", "failed", "failed", "queued"]


async def test_states_may_be_unknown_words_go_backwards_or_jump():
    async with visiting() as visit:
        visit.replica.entry(ITEM.guid).path = ("transcribing", "queued", "polishing", "processed")
        await visit.post()
        seen = []
        for _ in range(4):
            seen.append(await visit.state())
            visit.replica.advance()
    assert seen == ["transcribing", "queued", "polishing", "processed"]


async def test_the_back_catalogue_may_be_processed_from_the_start():
    async with visiting() as visit:
        visit.replica.entry(ITEM.guid).state = "processed"
        document = (await visit.get()).json()
    assert document["processing_state"] == "processed"
    assert {"summary", "highlights", "topics", "chapters"} <= document.keys()
    assert visit.replica.effects == []


@pytest.mark.parametrize("idle", [None, "none", "available"])
async def test_before_a_request_the_state_is_whatever_the_dialect_says(idle):
    async with visiting(Dialect(idle_state=idle)) as visit:
        assert (await visit.state(), visit.replica.state(ITEM.guid)) == (idle, idle)


# --- dialects ----------------------------------------------------------------------------


def says_everything(resource: Resource) -> bool:
    return (
        resource.title == ITEM.title
        and resource.published_at == ITEM.published_at
        and (resource.link, resource.audio_url) == (ITEM.link, ITEM.audio_url)
        and resource.duration_s == ITEM.duration_s
        and bool(resource.summary)
        and [len(x) for x in (resource.highlights, resource.topics)] == [2, 3]
        and [chapter.start_s for chapter in resource.chapters] == [60, 275, 510]
    )


@pytest.mark.parametrize("state_as", ["text", "object"])
@pytest.mark.parametrize("shape", ["flat", "nested", "camel"])
async def test_the_daemon_reads_all_facts_in_every_shape(shape, state_as):
    async with visiting(Dialect(shape=shape, state_as=state_as)) as visit:
        await visit.post()
        visit.replica.advance(2)
        answer = await visit.get()
        resource = read_json(answer.content)
        assert resource.state == "processed"
        assert says_everything(resource)
        assert resource.request_url == f"{answer.url}/transcription-requests"
        assert resource.json_url == str(answer.url)


async def test_shapes_and_states_look_as_they_are_called():
    async with visiting(Dialect(shape="camel")) as visit:
        assert {"processingState", "audioUrl"} <= (await visit.get()).json().keys()
    async with visiting(Dialect(shape="nested", state_as="object")) as visit:
        state = (await visit.get()).json()["data"]["episode"]["processing_state"]
        assert state == {"value": None, "label": "None"}
    async with visiting(Dialect(state_name="status")) as visit:
        assert "status" in (await visit.get()).json()


async def test_a_state_may_be_a_part_of_something():
    async with visiting(Dialect(state_as="part", idle_state="none")) as visit:
        assert (await visit.get()).json()["processing"] == {"state": "none"}


@pytest.mark.parametrize(
    ("names", "link", "audio"),
    [("link", True, False), ("audio", False, True), ("neither", False, False)],
)
async def test_what_proves_an_episode_may_be_left_out(names, link, audio):
    async with visiting(Dialect(names=names, dated=False)) as visit:
        resources = [
            read_json((await visit.get()).content),
            read_markdown((await visit.get(MARKDOWN)).content),
        ]
    for resource in resources:
        assert (resource.link is not None, resource.audio_url is not None) == (link, audio)
        assert resource.published_at is None


async def test_there_may_be_a_list_of_a_podcasts_episodes():
    path = f"/v1/public/podcasts/{PODCAST}/episodes"
    async with visiting() as visit:
        assert (await visit.get(path)).status_code == 404
    async with visiting(Dialect(lists_episodes=True)) as visit:
        visit.replica.entry(OTHER.guid).listed_after = None
        episodes = (await visit.get(path)).json()["episodes"]
    assert [episode["title"] for episode in episodes] == [ITEM.title]


async def test_json_may_be_of_any_size():
    async with visiting(Dialect(padding_bytes=10_000_000)) as visit:
        assert len((await visit.get()).content) > 10_000_000


@pytest.mark.parametrize("form", ["lines", "one_line"])
async def test_the_markdown_says_the_same_with_line_breaks_or_without(form):
    async with visiting(Dialect(markdown=form)) as visit:
        await visit.post()
        visit.replica.advance(2)
        answer = await visit.get(MARKDOWN)
        resource = read_markdown(answer.content)
        assert ("\n" in answer.text) is (form == "lines")
        assert answer.headers["content-type"].startswith("text/markdown")
        assert resource.state == "processed"
        assert says_everything(resource)
        assert resource.request_url == f"{resource.json_url}/transcription-requests"
        assert resource.json_url == str(answer.url.join(RESOURCE))


async def test_the_state_may_be_left_to_the_markdown():
    async with visiting(Dialect(state_as="missing")) as visit:
        await visit.post()
        assert read_json((await visit.get()).content).state is None
        assert read_markdown((await visit.get(MARKDOWN)).content).state == "queued"


async def test_the_json_may_be_a_page_and_the_markdown_absent():
    async with visiting(Dialect(shape="page", markdown="absent")) as visit:
        page = await visit.get()
        assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
        assert (await visit.get(MARKDOWN)).status_code == 404


@pytest.mark.parametrize(
    ("action", "href"),
    [
        ("absolute", "{base}" + RESOURCE + "/transcription-requests"),
        ("rooted", RESOURCE + "/transcription-requests"),
        ("elsewhere", "https://stenobird.example" + RESOURCE + "/transcription-requests"),
        ("absent", None),
    ],
)
async def test_the_actions_address_is_given_in_several_ways_or_not(action, href):
    async with visiting(Dialect(action=action)) as visit:
        actions = {a["name"]: a["href"] for a in (await visit.get()).json()["actions"]}
        base = str(visit.client.base_url).rstrip("/")
    assert actions.get("request_transcript") == (href and href.format(base=base))


@pytest.mark.parametrize("code", [200, 201, 202, 204, 303, 409])
@pytest.mark.parametrize("body", [True, False])
async def test_a_post_is_answered_as_the_dialect_says_and_always_has_its_effect(code, body):
    async with visiting(Dialect(post_status=code, post_body=body)) as visit:
        answer = await visit.post()
        assert answer.status_code == code
        assert bool(answer.content) is (body and code != 204)
        assert ("location" in answer.headers) is (code == 303)
        assert await visit.state() == "queued"
    if answer.content:
        assert answer.json()["status"] == "queued"
    assert len(visit.replica.effects) == 1


async def test_a_repetition_may_have_a_status_of_its_own():
    async with visiting(Dialect(post_status=201, repeat_status=409)) as visit:
        assert [(await visit.post()).status_code for _ in range(3)] == [201, 409, 409]
    assert len(visit.replica.effects) == 1


async def test_a_stored_500_is_replayed_for_its_key_alone():
    async with visiting(Dialect(replays_500=True)) as visit:
        codes = [(await visit.post(key)).status_code for key in ("a", "a", "b", "a", "b")]
    assert codes == [500, 500, 202, 500, 202]
    assert [effect.key for effect in visit.replica.effects] == ["b"]


# --- effects -----------------------------------------------------------------------------


async def test_an_effect_tells_whose_it_is():
    async with visiting() as visit:
        await visit.post("key-1")
        await visit.post("key-2", f"/v1/public/podcasts/{PODCAST}/episodes/another")
    first, second = visit.replica.effects
    assert (first.at, first.podcast, first.slug) == (NOON, PODCAST, SLUG)
    assert (first.guid, first.post_id, first.key, first.job) == (ITEM.guid, "101", "key-1", 1)
    assert (second.guid, second.key, second.job) == (OTHER.guid, "key-2", 2)


@pytest.mark.parametrize(
    ("remembers", "keys", "effects"),
    [
        ("key", ["a", "a", "b", None, None], 4),
        ("episode", ["a", "a", "b", None, None], 1),
        ("nothing", ["a", "a", "b", None, None], 5),
    ],
)
async def test_what_is_remembered_decides_how_often_a_request_has_an_effect(
    remembers, keys, effects
):
    async with visiting(Dialect(remembers=remembers)) as visit:
        jobs = [(await visit.post(key)).json()["id"] for key in keys]
    assert len(visit.replica.effects) == len(set(jobs)) == effects
    assert len(visit.replica.posts) == len(keys)


async def test_two_episodes_that_share_a_key_are_one_request():
    async with visiting() as visit:
        await visit.post("k")
        await visit.post("k", f"/v1/public/podcasts/{PODCAST}/episodes/another")
    assert [effect.guid for effect in visit.replica.effects] == [ITEM.guid]


async def test_a_memory_may_fade():
    async with visiting(Dialect(memory=timedelta(hours=24))) as visit:
        await visit.post()
        visit.clock.turn(timedelta(hours=23, minutes=59))
        await visit.post()
        assert len(visit.replica.effects) == 1
        visit.clock.turn(timedelta(minutes=1))
        await visit.post()
    assert [effect.job for effect in visit.replica.effects] == [1, 2]


async def test_a_new_job_starts_from_its_first_state():
    async with visiting(Dialect(remembers="nothing")) as visit:
        await visit.post()
        visit.replica.advance(2)
        await visit.post()
        assert await visit.state() == "queued"


@pytest.mark.parametrize(("remembers", "effects"), [("key", 1), ("nothing", 2)])
async def test_after_a_lost_answer_only_a_memory_saves_the_one_who_asks_again(remembers, effects):
    async with visiting(Dialect(remembers=remembers)) as visit:
        visit.replica.post_faults.next(lost_answer())
        with pytest.raises(httpx.RemoteProtocolError):
            await visit.post()
        assert len(visit.replica.effects) == 1
        assert await visit.state() == "queued"
        assert (await visit.post()).status_code == 202
    assert len(visit.replica.effects) == effects
    assert [(p.status, p.fault) for p in visit.replica.posts] == [
        *((None, "lost_answer"), (202, None)),
    ]


# --- faults ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "effects"),
    [
        (status(429, retry_after="30"), 429, 0),
        (status(500), 500, 0),
        (status(500, after_effect=True), 500, 1),
    ],
    ids=["429", "500 before the effect", "500 after the effect"],
)
async def test_a_refused_post_may_have_had_its_effect(fault, code, effects):
    async with visiting() as visit:
        visit.replica.post_faults.next(fault)
        answer = await visit.post()
        assert answer.status_code == code
        assert answer.headers.get("retry-after") == ("30" if code == 429 else None)
        assert len(visit.replica.effects) == effects
        assert (await visit.post()).status_code == 202
    assert len(visit.replica.effects) == 1


async def test_a_reset_comes_before_any_effect():
    async with visiting() as visit:
        visit.replica.post_faults.next(reset())
        with pytest.raises(httpx.ReadError):
            await visit.post()
    assert visit.replica.effects == []
    assert len(visit.replica.posts) == 1


async def test_a_slow_post_has_its_effect_although_nobody_waits_for_the_answer():
    async with visiting() as visit:
        visit.replica.post_faults.next(slow(60))
        with pytest.raises(httpx.ReadTimeout):
            await visit.client.post(f"{RESOURCE}/transcription-requests", timeout=0.1)
    assert len(visit.replica.effects) == 1


async def test_faults_of_gets_and_posts_are_apart():
    async with visiting() as visit:
        visit.replica.get_faults.next(status(503), status(200, body=b"{"))
        assert (await visit.post()).status_code == 202
        assert [(await visit.get()).status_code for _ in range(3)] == [503, 200, 200]
    assert [exchange.method for exchange in visit.replica.exchanges] == ["POST", *["GET"] * 3]
    assert len(visit.replica.gets) == 3


# --- several podcasts --------------------------------------------------------------------


async def test_one_guid_in_two_podcasts_is_two_episodes():
    clock = ManualClock(NOON)
    feeds = [Publisher(name, [ITEM], clock=clock) for name in ("one", "two")]
    replica = Replica(dict(zip(("a", "b"), feeds, strict=True)), clock=clock)
    world = World(*feeds, replica=replica)
    async with serve(world) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        path = f"/v1/public/podcasts/a/episodes/{SLUG}/transcription-requests"
        body = b'{"priority":"low"}'
        await client.post(path, headers={"Idempotency-Key": "k"}, content=body)
    assert [replica.state(ITEM.guid, podcast) for podcast in ("a", "b")] == ["queued", None]
    assert [effect.podcast for effect in replica.effects] == ["a"]
    (post,) = replica.posts
    assert post.headers["idempotency-key"] == "k"
    assert post.body_sha256 == sha256(body).hexdigest()
    with pytest.raises(ValueError, match="unpack"):
        replica.entry(ITEM.guid)
