"""Stenobird's Markdown page of an episode, by label and heading: ``{label: text or list}``.

The labels are known from one captured page whose line breaks were lost (``docs/stenobird.md``),
so the page is read with them and without. Without them it is first broken where the labels
and headings say that a line began.
"""

import re
from collections.abc import Iterable, Iterator

_LABELS = "|".join(
    (
        *("Page", "Text version", "Podcast", "Published", "Episode link", "Audio file"),
        *("Processing state", "JSON", "Duration seconds"),
    )
)
_BEFORE_LABEL = re.compile(rf" (?=(?:{_LABELS}): )")
_BEFORE_HEADING = re.compile(r"(?:^| )(?=## )")
# A dash inside a sentence begins no chapter and no action. Of highlights nothing else is known.
_BEFORE_ITEM = {
    "Highlights": re.compile(r"(?:^| )(?=- )"),
    "Chapters": re.compile(r"(?:^| )(?=- [0-9]+:[0-9]{2})"),
    "Actions": re.compile(r"(?:^| )(?=- \w+: `)"),
}
_BULLETS = ("- ", "* ")

Facts = dict[str, object]


def facts(page: str) -> Facts:
    """Return the page's title under ``title``, and the rest under its labels and headings."""
    head, sections = _sections(_lines(page))
    found: Facts = {}
    for line in head:
        label, _, value = ("title", "", line[2:]) if line[:2] == "# " else line.partition(":")
        if value.strip():
            found.setdefault(label.strip(), value.strip())
    for heading, body in sections.items():
        value = "\n".join(body).strip()
        if value:
            found[heading] = list(_items(body)) if value[:2] in _BULLETS else value
    return found


def _lines(page: str) -> list[str]:
    lines = re.split(r"\r?\n", page)
    if any(line.startswith(("## ", "Page:")) for line in lines[1:]):
        return lines
    return list(_broken(" ".join(page.split())))


def _sections(lines: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the lines before the first heading, and those under each."""
    head: list[str] = []
    sections: dict[str, list[str]] = {}
    body = head
    for line in lines:
        if line.startswith("## "):
            body = sections.setdefault(line[3:].strip(), [])
        else:
            body.append(line)
    return head, sections


def _broken(page: str) -> Iterator[str]:
    """Yield the lines of a page that lost its line breaks."""
    head, *sections = _BEFORE_HEADING.split(page)
    # A title may hold what looks like a label ("Emergency Podcast: …"); the labels begin where
    # the last "Page:" is followed by an address.
    at = max(head.rfind(" Page: http"), 0)
    yield head[:at]
    yield from _BEFORE_LABEL.split(head[at:].strip())
    for section in sections:
        heading, _, body = section.removeprefix("## ").partition(" ")
        yield f"## {heading}"
        item = _BEFORE_ITEM.get(heading)
        yield from item.split(body) if item else (body,)


def _items(lines: Iterable[str]) -> Iterator[str]:
    """Yield the items of a list; a line that follows belongs to the item, up to a blank one."""
    item = ""
    for line in (*lines, ""):
        is_new = line[:2] in _BULLETS
        if item and (is_new or not line.strip()):
            yield item
            item = ""
        if is_new:
            item = line[2:].strip()
        elif item:
            item += " " + line.strip()
