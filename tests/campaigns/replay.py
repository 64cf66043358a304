"""Replays the committed events by a table of its own: what they tell must be what is there.

The table is written by hand from ``docs/lifecycle.md``, so that a mistake in the daemon's is not
repeated here.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.campaigns.record import Record, Row

# (event, status) → the status that follows; None: there was no request yet.
FOLLOWS = {
    ("request.enqueued", "pending"): "pending",
    ("request.held", "pending"): "held",  # shadow mode
    ("request.held", "held"): "held",  # its reason, told beside its discovery
    ("request.released", "held"): "pending",
    ("request.released", "skipped"): "pending",
    ("request.posted", "pending"): "pending",
    ("request.deferred", "pending"): "pending",
    ("request.accepted", "pending"): "accepted",
    ("request.processed", "pending"): "processed",
    ("request.processed", "accepted"): "processed",
    ("request.processed", "held"): "processed",
    ("request.failed", "pending"): "failed",
    ("request.failed", "accepted"): "failed",
    ("request.skipped", "pending"): "skipped",
    ("request.skipped", "held"): "skipped",
}
REPLACED = {"processed": "processed", "failed": "failed", "skipped": "skipped"} | {
    "accepted": "skipped"  # it had stalled
}
STALLED = ("request.deferred", "accepted", "stalled")  # the one way back, taken once


@dataclass(slots=True)
class _Story:
    """An episode as its events have told it so far."""

    statuses: dict[int, str] = field(default_factory=dict)  # by generation
    epochs: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # of the POSTs
    reasks: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    state: str | None = None


def told(record: Record) -> tuple[list[str], dict[tuple[str, str], dict[int, list[int]]]]:
    """Return what is wrong with the events, and the epoch of each POST by (podcast, guid), generation."""
    stories: dict[tuple[str, str], _Story] = {}
    wrong: list[str] = []
    for event in record.events:
        if event["guid"] is not None and not event["name"].startswith("problem."):
            story = stories.setdefault((event["podcast"], event["guid"]), _Story())
            wrong += _tell(story, event)
    wrong += _against_rows(record, stories)
    return wrong, {key: dict(story.epochs) for key, story in stories.items()}


def where(event: Row) -> str:
    return f"event {event['seq']} ({event['name']} of {event['podcast']} {event['guid']})"


def _tell(story: _Story, event: Row) -> Iterator[str]:
    name, fields = event["name"], event["fields"]
    if name == "episode.discovered":
        if story.statuses:
            yield f"{where(event)}: discovered a second time"
        story.statuses[1] = fields["request"]
        if fields["request"] not in {"pending", "held"}:
            yield f"{where(event)}: expected pending or held, found {fields['request']}"
    elif not story.statuses:
        yield f"{where(event)}: expected its discovery before it, found nothing"
    elif name == "state.changed":
        yield from _state(story, event)
    elif name == "request.requeued":
        yield from _requeued(story, event)
    elif name.startswith("request."):
        yield from _moved(story, event)


def _state(story: _Story, event: Row) -> Iterator[str]:
    before, after = event["fields"].get("from"), event["fields"].get("to")
    if before != story.state:
        yield f"{where(event)}: expected from {story.state!r}, found {before!r}"
    if before == after:
        yield f"{where(event)}: nothing changed, it is {after!r} still"
    story.state = after


def _requeued(story: _Story, event: Row) -> Iterator[str]:
    last, generation = max(story.statuses), event["fields"]["generation"]
    if generation != last + 1:
        yield f"{where(event)}: expected generation {last + 1}, found {generation}"
    if story.statuses[last] not in REPLACED:
        yield f"{where(event)}: a request that is {story.statuses[last]} cannot be asked anew"
    story.statuses[last] = REPLACED.get(story.statuses[last], "skipped")
    story.statuses[generation] = "pending"


def _moved(story: _Story, event: Row) -> Iterator[str]:
    name, fields = event["name"], event["fields"]
    generation = fields["generation"]
    before = story.statuses.get(generation)
    after: str | None = FOLLOWS.get((name, str(before)))
    if (name, before, fields.get("reason")) == STALLED:
        after = "pending"
        story.reasks[generation] += 1
        if story.reasks[generation] > 1:
            yield f"{where(event)}: generation {generation} is asked again a second time"
    if generation != max(story.statuses):
        yield f"{where(event)}: generation {generation} is over, {max(story.statuses)} is newest"
    if after is None:
        yield f"{where(event)}: not possible for generation {generation}, which is {before}"
        return
    story.statuses[generation] = after
    if name == "request.posted":
        story.epochs[generation].append(fields["epoch"])


def _against_rows(record: Record, stories: dict[tuple[str, str], _Story]) -> Iterator[str]:
    """What the events tell is what the rows hold, and the other way round."""
    rows: dict[int, dict[int, str]] = defaultdict(dict)
    for request in record.requests:
        rows[request["episode_id"]][request["generation"]] = request["status"]
    unseen = set(stories)
    for episode in record.episodes:
        key = episode["podcast"], episode["guid"]
        unseen.discard(key)
        story = stories.get(key, _Story())
        if story.statuses != rows[episode["id"]]:
            yield (
                f"{key[0]} {key[1]}: its events lead to {story.statuses}, "
                f"found {rows[episode['id']]} (status by generation)"
            )
        if story.state != episode["processing_state"]:
            yield (
                f"{key[0]} {key[1]}: its events lead to the state {story.state!r}, "
                f"found {episode['processing_state']!r}"
            )
    for podcast, guid in sorted(unseen):
        yield f"{podcast} {guid}: events tell of it, but there is no such episode"


def problems(record: Record) -> Iterator[str]:
    """Each is opened, reminded of, taken back, in this order; what stands in the end is a row."""
    standing: dict[tuple[Any, ...], str] = {}
    for event in record.events:
        if not event["name"].startswith("problem."):
            continue
        key = event["fields"]["problem"], event["podcast"] or "", event["guid"] or ""
        is_open = key in standing
        if is_open == (event["name"] == "problem.opened"):
            yield f"{where(event)}: {key[0]} is {'open already' if is_open else 'not open'}"
        standing[key] = event["fields"]["reason"]
        if event["name"] == "problem.recovered":
            del standing[key]
    rows = {(p["kind"], p["podcast"], p["guid"]) for p in record.problems if p["opened_at"]}
    for key in sorted(rows ^ set(standing)):
        yield f"problem {key}: by its events {key in standing}, in the table {key in rows}"
