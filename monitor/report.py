"""What commands print for eyes: tables and stories, aligned, coloured on a terminal.

Everything that came from a feed or from Stenobird is escaped before it reaches a terminal.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.adapters.store.reading import EpisodeRow
from monitor.core.lifecycle import Status
from monitor.core.model import CommittedEvent
from monitor.core.problems import Kind, Problem
from monitor.log import render
from monitor.log.console import span
from monitor.log.fields import escaped

WIDTH = 10_000  # where the output goes to no terminal: nothing is cut or wrapped, `grep` finds it
GUID_WIDTH = 40  # on a terminal; a guid may be a whole address

STYLES = {
    Status.PENDING: "yellow",
    Status.ACCEPTED: "cyan",
    Status.PROCESSED: "green",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
    Status.HELD: "dim",
}


class Terminal(Console):
    """Standard output, whatever it is: in colours where they can be seen and are wanted."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else WIDTH
        super().__init__(highlight=False, markup=False, width=width)

    @property
    def is_coloured(self) -> bool:
        return self.color_system is not None and not self.no_color


def clean(text: object) -> Text:
    """Return feed text as a terminal may have it: no markup, no escapes, one line."""
    return Text(escaped(str(text)))


def relative(at: datetime | None, now: datetime) -> str:
    """Return how long ago or how soon *at* is; a date where that is over a month."""
    if at is None:
        return "-"
    seconds = (at - now).total_seconds()
    if abs(seconds) > 30 * 86_400:
        return f"{at:%Y-%m-%d}"
    return f"in {span(round(seconds))}" if seconds > 0 else f"{span(round(-seconds))} ago"


def _at(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "unknown"
    exact = f"{at:%Y-%m-%d %H:%M} UTC"
    about = relative(at, now)
    return exact if exact.startswith(about) else f"{exact} ({about})"


# --- episodes -----------------------------------------------------------------------------


def episodes(rows: Sequence[EpisodeRow], now: datetime) -> Table:
    """Return a table of episodes, one line each."""
    on_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold", expand=on_terminal)
    for heading in ("published", "request", "state", "length"):
        table.add_column(heading, no_wrap=True)
    widest = GUID_WIDTH if on_terminal else None
    table.add_column("guid", no_wrap=True, overflow="ellipsis", max_width=widest, style="dim")
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1 if on_terminal else None)
    for row in rows:
        table.add_row(
            relative(row.published_at, now),
            _request(row),
            clean(row.processing_state or "-"),
            span(row.duration_s) if row.duration_s else "-",
            clean(row.guid),
            clean(row.title),
        )
    return table


def _request(row: EpisodeRow) -> Text:
    return Text(_status(row), STYLES[Status(row.request)])


def _status(row: EpisodeRow) -> str:
    plain = row.reason is None or row.reason == row.request
    return escaped(row.request if plain else f"{row.request}: {row.reason}")


def facts(row: EpisodeRow, now: datetime) -> Table:
    """Return what is known of one episode, a fact a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("title", clean(row.title))
    table.add_row("podcast", clean(row.podcast))
    table.add_row("guid", clean(row.guid))
    table.add_row("published", _at(row.published_at, now))
    table.add_row("first seen", _at(row.first_seen_at, now))
    table.add_row("length", span(row.duration_s) if row.duration_s else "unknown")
    table.add_row("link", clean(row.link or "none"))
    table.add_row("audio", clean(row.audio_url))
    table.add_row("Stenobird", clean(row.slug or "not found there yet"))
    table.add_row("state", clean(row.processing_state or "none seen yet"))
    table.add_row("request", _request(row))
    if row.request == Status.PENDING:
        table.add_row("next attempt", _at(row.next_attempt_at, now))
    if row.generation > 1:
        table.add_row("generation", str(row.generation))
    return table


def published(resource: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    """Yield what Stenobird publishes of an episode, part by part, each after an empty line."""
    resource = resource or {}
    if not any(resource.get(name) for name in ("summary", "highlights", "topics", "chapters")):
        yield Text("\nStenobird has published nothing of it yet.")
    if resource.get("summary"):
        yield Text("\nsummary", "bold")
        yield _indented(clean(resource["summary"]))
    for heading in ("highlights", "topics"):
        if entries := resource.get(heading):
            yield Text(f"\n{heading}", "bold")
            yield from (_indented(Text("• ") + clean(entry)) for entry in entries)
    if chapters := resource.get("chapters"):
        yield Text("\nchapters", "bold")
        yield from (_indented(_chapter(chapter)) for chapter in chapters)
    links = [resource.get(name) for name in ("page_url", "markdown_url", "json_url")]
    if any(links):
        yield Text("\nlinks", "bold")
        # Not wrapped: a terminal opens a link only where it is whole.
        yield from (Text("  ", no_wrap=True, overflow="ignore") + clean(li) for li in links if li)


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 2), expand=False)


def _chapter(chapter: Mapping[str, Any]) -> Text:
    minutes, seconds = divmod(int(chapter["start_s"]), 60)
    text = f": {chapter['text']}" if chapter.get("text") else ""
    return Text(f"{minutes:>3}:{seconds:02}  ") + clean(f"{chapter['title']}{text}")


def story(events: Iterable[CommittedEvent], *, colour: bool) -> Iterator[str]:
    """Yield events with their day, each a line of the log."""
    day = None
    for committed in events:
        if committed.at.date() != day:
            day = committed.at.date()
            yield f"{day:%A %Y-%m-%d} (UTC)"
        line = render(committed.event, committed.at, committed.seq, form="console", colour=colour)
        yield f"  {line}"


# --- the operator's verbs -----------------------------------------------------------------

# Where a verb found nothing to do, what the operator may have wanted instead.
INSTEAD = {
    ("request", Status.PROCESSED): "`requeue` asks for a further transcription",
    ("request", Status.FAILED): "`requeue` asks anew",
    ("release", Status.SKIPPED): "`request` wants it after all",
    ("release", Status.FAILED): "`requeue` asks anew",
    ("requeue", Status.PENDING): "its request has yet to be sent",
    ("requeue", Status.HELD): "`release` lets its request go",
    ("requeue", Status.ACCEPTED): "Stenobird is at work on it, or will be asked again by itself",
}


def outcome(verb: str, before: EpisodeRow, after: EpisodeRow, *, moved: bool) -> Text:
    """Return what became of an episode's request."""
    name = clean(f"{after.title} ({after.guid})")
    if moved:
        return name + Text(" is now ") + _request(after) + Text(f"; it was {_status(before)}")
    instead = INSTEAD.get((verb, Status(after.request)))
    return name + " nothing to do: it is " + _request(after) + (f"; {instead}" if instead else "")


# --- problems -----------------------------------------------------------------------------

ADVICE = {
    Kind.DATABASE: "nothing is done meanwhile, and nothing lost; its line in the log says why",
    Kind.CLOCK: "nothing is done by a clock that was never set: set it",
    Kind.OFFLINE: "nothing is counted against anybody; all goes on when this machine is back",
    Kind.FEED_FAILING: "it is polled on, more and more rarely; `podcast-monitor check` asks it now",
    Kind.FEED_SILENT: "its line in the log says what is usual; look at the show, or take it out",
    Kind.STENOBIRD_FAILING: "requests wait and go on by themselves; see `podcast-monitor check`",
    Kind.STENOBIRD_FROZEN: "nothing is POSTed: mend stenobird.token, or the account there",
    Kind.REQUEST_REFUSED: "tried again now and then; see `explain`, then `skip` or wait",
    Kind.REQUEST_FAILING: "asked on, with growing pauses and the same key; see `explain`",
    Kind.REQUEST_UNLISTED: "Stenobird does not know it, or by another title; it is looked for daily",
    Kind.REQUEST_STALLED: "asked twice, and nothing moves: `requeue` asks anew",
    Kind.STATE_REGRESSED: "it was processed before; `requeue` asks anew",
}


def problems(found: Iterable[Problem], now: datetime) -> Table:
    """Return the open problems, longest first, each with what it asks of a person."""
    table = Table(box=None, pad_edge=False, header_style="bold yellow")
    for heading in ("open problem", "of", "reason", "since"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what to do")
    for problem in found:
        table.add_row(
            problem.kind.value,
            clean(problem.guid or problem.podcast or "stenobird"),
            clean(problem.reason),
            relative(problem.since, now),
            ADVICE[problem.kind],
        )
    return table
