"""What commands print for eyes: tables and stories, aligned, coloured on a terminal.

Everything that came from a feed or from Stenobird is escaped before it reaches a terminal.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.adapters.store.reading import EpisodeRow
from monitor.core.lifecycle import Status
from monitor.core.model import CommittedEvent, iso
from monitor.log import render
from monitor.log.console import span
from monitor.log.fields import escaped

MOST_CANDIDATES = 10
WIDTH = 160  # of tables that go to no terminal

STYLES = {
    Status.PENDING: "yellow",
    Status.ACCEPTED: "cyan",
    Status.PROCESSED: "green",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
    Status.HELD: "dim",
}


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


def episodes(rows: Sequence[EpisodeRow], now: datetime) -> Table:
    """Return a table of episodes, one line each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, width in (("published", 10), ("request", 14), ("state", 9), ("length", 6)):
        table.add_column(heading, no_wrap=True, min_width=width)
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column("guid", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    for row in rows:
        table.add_row(
            relative(row.published_at, now),
            _request(row),
            clean(row.processing_state or "-"),
            span(row.duration_s) if row.duration_s else "-",
            clean(row.title),
            clean(row.guid),
        )
    return table


def _request(row: EpisodeRow) -> Text:
    plain = row.reason is None or row.reason == row.request
    text = row.request if plain else f"{row.request}: {row.reason}"
    return Text(escaped(text), STYLES[Status(row.request)])


def candidates(rows: Iterable[EpisodeRow]) -> str:
    """Return the episodes that a name may have meant, one a line."""
    lines = [f"  {escaped(r.podcast)}  {escaped(r.guid)}  {escaped(r.title)}" for r in rows]
    if len(lines) > MOST_CANDIDATES:
        lines[MOST_CANDIDATES:] = [f"  … and {len(lines) - MOST_CANDIDATES} more"]
    return "\n".join(lines)


def facts(row: EpisodeRow, now: datetime) -> Table:
    """Return what is known of one episode, a fact a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("title", clean(row.title))
    table.add_row("podcast", clean(row.podcast))
    table.add_row("guid", clean(row.guid))
    table.add_row("published", _at(row.published_at, now))
    table.add_row("first seen", _at(row.first_seen_at, now))
    table.add_row("length", span(row.duration_s) if row.duration_s else "unknown")
    table.add_row("link", clean(row.link or "-"))
    table.add_row("audio", clean(row.audio_url))
    table.add_row("Stenobird", clean(row.slug or "not found there yet"))
    table.add_row("state", clean(row.processing_state or "none seen yet"))
    table.add_row("request", _request(row))
    if row.request == Status.PENDING:
        table.add_row("next attempt", _at(row.next_attempt_at, now))
    if row.generation > 1:
        table.add_row("generation", str(row.generation))
    return table


def _at(at: datetime | None, now: datetime) -> str:
    return "unknown" if at is None else f"{iso(at)} ({relative(at, now)})"


def published(resource: Mapping[str, Any]) -> Iterable[Text]:
    """Yield what Stenobird publishes of an episode, as paragraphs."""
    if resource.get("summary"):
        yield clean(resource["summary"])
    for heading in ("highlights", "topics"):
        entries = resource.get(heading) or ()
        if entries:
            yield Text(f"\n{heading}", "bold")
            yield from (Text("  • ") + clean(entry) for entry in entries)
    if resource.get("chapters"):
        yield Text("\nchapters", "bold")
        yield from (_chapter(chapter) for chapter in resource["chapters"])
    links = [resource.get(name) for name in ("page_url", "markdown_url", "json_url")]
    if any(links):
        yield Text("\nlinks", "bold")
        yield from (Text("  ") + clean(link) for link in links if link)


def _chapter(chapter: Mapping[str, Any]) -> Text:
    minutes, seconds = divmod(int(chapter["start_s"]), 60)
    text = f": {chapter['text']}" if chapter.get("text") else ""
    return Text(f"  {minutes:>3}:{seconds:02}  ") + clean(f"{chapter['title']}{text}")


def story(events: Iterable[CommittedEvent], *, colour: bool) -> Iterable[str]:
    """Yield an episode's events with their day, each a line of the log."""
    day = None
    for committed in events:
        if committed.at.date() != day:
            day = committed.at.date()
            yield f"{day:%A %Y-%m-%d}"
        line = render(committed.event, committed.at, committed.seq, form="console", colour=colour)
        yield f"  {line}"


def console() -> Console:
    """Return the terminal, or whatever standard output is."""
    width = None if sys.stdout.isatty() else WIDTH
    return Console(highlight=False, markup=False, width=width)
