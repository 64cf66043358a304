"""What was asked of the far ends, by their ledgers and ours: once, alike, and never too fast."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise

from tests.campaigns.history import History
from tests.campaigns.record import Record, Row

Epochs = Mapping[tuple[str, str], Mapping[int, Sequence[int]]]
ACTION = "/transcription-requests"
MINUTE = timedelta(minutes=1)
Span = tuple[datetime, datetime]
MOVED = timedelta(hours=6)  # no clock of a campaign is set back by more
DAY = timedelta(days=1)


def derived(slug: str, guid: str, generation: int, epoch: int) -> str:
    """Return the key that the documents promise."""
    return sha256(f"{slug}\n{guid}\n{generation}\n{epoch}".encode()).hexdigest()


# --- keys and addresses --------------------------------------------------------------------


def posts(record: Record, epochs: Epochs) -> Iterator[str]:
    """Every POST that was written down has the key of its epoch, and keeps its address."""
    episodes = {episode["id"]: episode for episode in record.episodes}
    by_request: dict[int, list[Row]] = defaultdict(list)
    for post in record.posts:
        by_request[post["request_id"]].append(post)
    for request in record.requests:
        episode, generation = episodes[request["episode_id"]], request["generation"]
        made = by_request.pop(request["id"], [])
        told = epochs.get((episode["podcast"], episode["guid"]), {}).get(generation, [])
        name = f"{episode['podcast']} {episode['guid']} generation {generation}"
        if len(made) != len(told):
            yield f"{name}: expected {len(told)} POSTs as told by its events, found {len(made)}"
            continue
        yield from _keys(name, episode, generation, made, told)
    for request_id in by_request:
        yield f"a POST of request {request_id}, which does not exist"


def _keys(
    name: str, episode: Row, generation: int, made: Sequence[Row], told: Sequence[int]
) -> Iterator[str]:
    for post, epoch in zip(made, told, strict=True):
        expected = derived(episode["podcast_slug"], episode["guid"], generation, epoch)
        if post["key"] != expected:
            yield f"{name}: POST {post['id']} in epoch {epoch}: expected key {expected}, found {post['key']}"
    for (before, epoch), (after, next_epoch) in pairwise(zip(made, told, strict=True)):
        if next_epoch < epoch:
            yield f"{name}: epoch {next_epoch} after {epoch}"
        same = epoch == next_epoch and _is_unknown(before["outcome"])
        if same and before["url"] != after["url"]:
            yield (
                f"{name}: POST {after['id']} though what {before['id']} did is not known: "
                f"expected address {before['url']}, found {after['url']}"
            )


def _is_unknown(outcome: str | None) -> bool:
    """Return whether nobody can say what a POST did: no answer, or one of 408, 429, 5xx."""
    if outcome is None or not outcome.startswith("http_"):
        return outcome is None or outcome in {"timeout", "connection_lost", "reset"}
    return outcome[5:] in {"408", "429"} or outcome[5] == "5"


def arrived(history: History, record: Record) -> Iterator[str]:
    """Every POST that arrived was written down before, and those of one key are alike."""
    written = Counter(post["key"] for post in record.posts)
    came = [each for each in history.stenobird if each.method == "POST"]
    for key, count in Counter(each.key for each in came).items():
        if count > written[key or ""]:
            yield f"key {key}: {count} POSTs arrived, {written[key or '']} were written down"
    bodies: dict[str | None, set[str | None]] = defaultdict(set)
    for each in came:
        bodies[each.key].add(each.body_sha256)
    for key, found in bodies.items():
        if len(found) > 1:
            yield f"key {key}: expected one body, found {len(found)}"


def between(history: History) -> Iterator[str]:
    """Between two POSTs of an episode its resource is read."""
    read_since: dict[str, bool] = {}
    for each in history.stenobird:
        resource = _resource(each.path)
        if each.method == "GET":
            read_since[resource] = True
        elif not read_since.pop(resource, False):
            yield f"POST of {each.path} at {each.at}: expected a GET since the one before, found none"


def _resource(path: str) -> str:
    """Return podcast and episode of an address, whichever of the three forms it has."""
    path = path.partition("?")[0].removesuffix(ACTION).removesuffix(".md")
    return "/".join(
        path.replace("/v1/public/podcasts/", "").replace("/episodes/", "/").split("/")[-2:]
    )


# --- pace, budget, politeness --------------------------------------------------------------


def pace(history: History, record: Record) -> Iterator[str]:
    at = [post["at"] for post in record.posts]
    yield from _crowded("written down", at, history.per_minute, MINUTE, _moved(record))
    came = [each.at for each in history.stenobird if each.method == "POST"]
    window = MINUTE - timedelta(seconds=history.late_s)
    yield from _crowded("arrived", came, history.per_minute, window, _at(history.jumps))


def _crowded(
    what: str, instants: Sequence[datetime], most: int, window: timedelta, moved: Sequence[Span]
) -> Iterator[str]:
    ordered = sorted(instants)
    for first, last in zip(ordered, ordered[most:], strict=False):
        if last - first < window and not _within(moved, first, last):
            yield f"{most + 1} POSTs {what} from {first} to {last}: expected {most} in {window}"


def budget(history: History, record: Record) -> Iterator[str]:
    """In no 24 hours more audio than allowed, but for one episode that is larger than that."""
    spent = [
        (post["at"], post["request_id"], post["audio_minutes"])
        for post in record.posts
        if not post["in_vain"]
    ]
    yield from _overspent("written down", spent, history, DAY, _moved(record))
    guids = {episode["id"]: (episode["podcast"], episode["guid"]) for episode in record.episodes}
    episode_of = {request["id"]: guids[request["episode_id"]] for request in record.requests}
    minutes = {episode_of.get(post["request_id"]): post["audio_minutes"] for post in record.posts}
    begun = [  # a request spends its minutes once, whatever became of its first POST
        (effect.at, effect.key or "", minutes.get((effect.podcast, effect.guid), 0))
        for effect in history.effects
    ]
    window = DAY - timedelta(seconds=history.late_s)
    yield from _overspent("begun", begun, history, window, _at(history.jumps))


def _overspent(
    what: str,
    spent: Sequence[tuple[datetime, int | str, int]],
    history: History,
    window: timedelta,
    moved: Sequence[Span],
) -> Iterator[str]:
    ordered = sorted(spent)
    first = 0
    for number, (at, _, _) in enumerate(ordered):
        while at - ordered[first][0] >= window:
            first += 1
        minutes = {request: cost for _, request, cost in ordered[first : number + 1]}
        total = sum(minutes.values())
        if total <= history.audio_minutes_per_day or len(minutes) == 1:
            continue
        if not _within(moved, ordered[first][0], at):
            yield (
                f"{total} minutes of audio {what} from {ordered[first][0]} to {at}: "
                f"expected at most {history.audio_minutes_per_day}"
            )


def _moved(record: Record) -> list[Span]:
    """Return where our ledger's instants were moved, by our clock: it had been set back.

    What it said was to come is moved by as much; so of the time before, nothing can be told either.
    """
    at = [event["at"] for event in record.events if event["name"] == "clock.jumped"]
    return [(jump - MOVED, jump) for jump in at]


def _at(jumps: Sequence[datetime]) -> list[Span]:
    return [(jump, jump) for jump in jumps]


def _within(spans: Sequence[Span], first: datetime, last: datetime) -> bool:
    return any(first <= end and begin <= last for begin, end in spans)


def politeness(history: History) -> Iterator[str]:
    for podcast in history.podcasts:
        for before, after in pairwise(podcast.polls):
            gap_s = (after.at - before.at).total_seconds()
            if gap_s < podcast.min_gap_s and not _within(_at(history.jumps), before.at, after.at):
                yield (
                    f"{podcast.name}: polled at {after.at}, {gap_s:.3f} s after the last time: "
                    f"expected at least {podcast.min_gap_s} s"
                )


def origins(history: History) -> Iterator[str]:
    if history.origins:
        for origin in sorted(history.dialled - history.origins):
            yield f"{origin} was dialled: expected {', '.join(sorted(history.origins))} only"
