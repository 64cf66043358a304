"""The judge of every history: it shares no code with the daemon, and believes none of its words.

``check`` reads the database with raw SQL, the processes' logs, and the far ends' own ledgers, and
returns one sentence for each broken promise. ``record`` reads, ``replay`` follows the events,
``ledgers`` compares what was asked; here is what is known, what had effect, what was logged, and
whether everything came to its end.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tests.campaigns import ledgers, replay
from tests.campaigns.history import History, Podcast
from tests.campaigns.record import Record, Row, read

SETTLED = frozenset({"processed", "failed"})
AT_LEISURE = timedelta(minutes=1)  # between two ticks there may be something due


def check(history: History) -> list[str]:
    """Return what is wrong with a history, a sentence each; nothing where every promise was kept."""
    record = read(history.database)
    wrong, epochs = replay.told(record)
    for found in (
        _numbered(record),
        _episodes(history, record),
        _effects(history, record),
        _unwanted(history, record),
        ledgers.posts(record, epochs),
        ledgers.arrived(history, record),
        ledgers.between(history),
        ledgers.pace(history, record),
        ledgers.budget(history, record),
        ledgers.politeness(history),
        ledgers.origins(history),
        replay.problems(record),
        _logged(history, record),
        _secrets(history, record),
    ):
        wrong += found
    if history.quiet:
        wrong += _converged(history, record)
    return wrong


# --- what is known -------------------------------------------------------------------------


def _numbered(record: Record) -> Iterator[str]:
    """Event numbers run from 1 without gaps, and the counters know it."""
    for expected, event in enumerate(record.events, 1):
        if event["seq"] != expected:
            yield f"event {event['seq']} ({event['name']}): expected number {expected}"
            break
        if event["at"] is None:
            yield f"event {event['seq']} ({event['name']}): expected a time, found none"
    counters = {counter["name"]: counter["value"] for counter in record.counters}
    last = record.events[-1]["seq"] if record.events else 0
    if counters.get("seq") != last:
        yield f"the counter seq is {counters.get('seq')}: expected {last}"
    if counters.get("logged", 0) > last:
        yield f"logged up to {counters['logged']}: expected at most {last}"


def _episodes(history: History, record: Record) -> Iterator[str]:
    """Nothing listed is unknown, nothing known was never published, nothing is known twice."""
    for podcast in history.podcasts:
        rows = [row for row in record.episodes if row["podcast"] == podcast.name]
        aliases = [row for row in record.aliases if row["podcast"] == podcast.name]
        yield from _known_once(podcast, rows)
        known = {row["value"] for row in aliases if row["kind"] == "guid"}
        known |= {row["guid"] for row in rows}
        for guid in sorted(known - podcast.ever):
            yield f"{podcast.name} {guid}: known, but it was never published"
        if history.quiet:
            for guid in sorted(podcast.listed - known):
                yield f"{podcast.name} {guid}: listed, but not known"
        yield from _same(podcast, rows, aliases)


def _known_once(podcast: Podcast, rows: list[Row]) -> Iterator[str]:
    for guid, count in Counter(row["guid"] for row in rows).items():
        if count > 1:
            yield f"{podcast.name} {guid}: expected one row, found {count}"
    same: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row in rows:
        same[row["title"], row["audio_url"].partition("?")[0]].append(row["guid"])
    for guids in same.values():
        if len(set(guids)) > 1:
            yield f"{podcast.name}: one episode, of one title and file, has the rows {sorted(guids)}"


def _same(podcast: Podcast, rows: list[Row], aliases: list[Row]) -> Iterator[str]:
    """An episode's own guid leads to no other."""
    ids = {row["guid"]: row["id"] for row in rows}
    for alias in aliases:
        own = ids.get(alias["value"])
        if alias["kind"] == "guid" and own is not None and own != alias["episode_id"]:
            yield (
                f"{podcast.name} {alias['value']}: its guid leads to episode "
                f"{alias['episode_id']}, expected {own}"
            )


# --- what had effect -----------------------------------------------------------------------


def _effects(history: History, record: Record) -> Iterator[str]:
    """Each was asked for by a request of its episode, and by one generation at most once."""
    generation_of = _keys(record)
    begun: Counter[tuple[str, str, int]] = Counter()
    for effect in history.effects:
        found = generation_of.get(effect.key or "")
        if found is None or found[:2] != (effect.podcast, effect.guid):
            yield (
                f"{effect.podcast} {effect.guid}: transcribed at {effect.at} by the key "
                f"{effect.key}: expected one of its own, found that of {found}"
            )
        else:
            begun[found] += 1
    if history.remembers:
        for (podcast, guid, generation), count in begun.items():
            if count > 1:
                yield f"{podcast} {guid} generation {generation}: expected one effect, found {count}"


def _keys(record: Record) -> dict[str, tuple[str, str, int]]:
    """Return podcast, guid and generation by every key that may have been sent, derived anew."""
    episodes = {row["id"]: row for row in record.episodes}
    keys = {}
    for request in record.requests:
        episode, generation = episodes[request["episode_id"]], request["generation"]
        for epoch in range(request["epoch"] + 1):
            key = ledgers.derived(episode["podcast_slug"], episode["guid"], generation, epoch)
            keys[key] = (episode["podcast"], episode["guid"], generation)
    return keys


def _unwanted(history: History, record: Record) -> Iterator[str]:
    """What nobody wanted was neither transcribed nor asked for."""
    asked = {row["id"]: row["episode_id"] for row in record.requests}
    posted = {asked.get(post["request_id"]) for post in record.posts}
    names = {(row["podcast"], row["guid"]) for row in record.episodes if row["id"] in posted}
    effects = Counter((effect.podcast, effect.guid) for effect in history.effects)
    for podcast in history.podcasts:
        for guid in sorted(podcast.unwanted):
            if count := effects[podcast.name, guid]:
                yield f"{podcast.name} {guid}: not wanted, but transcribed {count} times"
            if (podcast.name, guid) in names:
                yield f"{podcast.name} {guid}: not wanted, but a POST was begun"


# --- whether it came to its end ------------------------------------------------------------


def _converged(history: History, record: Record) -> Iterator[str]:
    yield from _settled(history, record)
    now = record.latest
    if now is None:
        return
    for row in record.requests:
        if (
            row["newest"]
            and row["status"] == "pending"
            and row["next_attempt_at"] < now - AT_LEISURE
        ):
            yield f"request {row['id']}: due since {row['next_attempt_at']}, and nothing happened"
    yield from _leases(record, now)
    for problem in record.problems:
        if problem["opened_at"] is not None and problem["kind"] not in history.explained:
            yield f"problem {problem['kind']} ({problem['reason']}) of {problem['podcast']} {problem['guid']} stands"


def _settled(history: History, record: Record) -> Iterator[str]:
    episodes = {row["id"]: (row["podcast"], row["guid"]) for row in record.episodes}
    status = {
        episodes[row["episode_id"]]: row["status"] for row in record.requests if row["newest"]
    }
    effects = Counter((effect.podcast, effect.guid) for effect in history.effects)
    for podcast in history.podcasts:
        for guid in sorted(podcast.wanted):
            found, count = status.get((podcast.name, guid)), effects[podcast.name, guid]
            if found not in SETTLED:
                yield f"{podcast.name} {guid}: expected processed or failed, found {found}"
            elif (end := history.ends.get((podcast.name, guid), found)) != found:
                yield f"{podcast.name} {guid}: at Stenobird it is {end}, found {found}"
            expected = history.generations.get(guid, 1)
            if count < expected or (history.remembers and count > expected):
                yield f"{podcast.name} {guid}: expected {expected} effects, found {count}"


def _leases(record: Record, now: datetime) -> Iterator[str]:
    for what, rows in (("feed of podcast", record.podcasts), ("episode", record.episodes)):
        for row in rows:
            if row["lease"] is not None and (row["leased_until"] or now) > now:
                yield f"{what} {row['id']}: leased until {row['leased_until']}, and nobody is there"


# --- what was logged -----------------------------------------------------------------------


def _logged(history: History, record: Record) -> Iterator[str]:
    """Every committed event is logged, in order within a process, as it was committed."""
    if not history.log:
        return
    events = {event["seq"]: event for event in record.events}
    seen: set[int] = set()
    for number, lines in enumerate(history.log, 1):
        last = 0
        for line in lines:
            seq = line.get("seq")
            if seq is None:
                continue
            if seq <= last:
                yield f"log {number}: line {seq} after line {last}"
            yield from _alike(number, line, events.get(seq))
            last = seq
            seen.add(seq)
    upto = len(events) if history.quiet else max(seen, default=0)
    if missing := sorted(set(range(1, upto + 1)) - seen):
        yield f"{len(missing)} committed events never reached the log, such as {missing[:5]}"


def _secrets(history: History, record: Record) -> Iterator[str]:
    """No token, feed address or Idempotency-Key is in any line."""
    secrets = history.secrets | {post["key"] for post in record.posts}
    for number, lines in enumerate(history.log, 1):
        for line in lines:
            said = repr(line)
            if found := [secret for secret in secrets if secret in said]:
                yield f"log {number}: a secret, {found[0]!r}, is in {said}"


def _alike(number: int, line: Row, event: Row | None) -> Iterator[str]:
    if event is None:
        yield f"log {number}: line {line['seq']} ({line.get('event')}) was never committed"
        return
    at = event["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"at": at, "event": event["name"], "level": event["level"]}
    head |= {"podcast": event["podcast"], "guid": event["guid"]}
    for key, expected in (head | event["fields"]).items():
        if line.get(key) != expected:
            yield f"log {number}: line {line['seq']}: {key} is {line.get(key)!r}, expected {expected!r}"
