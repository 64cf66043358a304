"""Print ``docs/lifecycle.md``: the life of a request, drawn from the one transition table."""  # noqa: INP001 - a script beside the documents it makes, no package

import sys
from collections.abc import Iterator

from monitor.core.lifecycle import TRANSITIONS, Status

FIRST = (Status.PENDING, Status.HELD)  # what a newly discovered episode's request may be
INTRODUCTION = """\
# The life of a request

Drawn from `TRANSITIONS` in `monitor/core/lifecycle.py` by `make docs`: change the table there,
never this page. A pair of status and event that is not listed here raises `IllegalTransition`
and changes nothing. What the words mean stands beside them in that file.
"""


def page() -> Iterator[str]:
    """Yield the lines of the page."""
    yield INTRODUCTION
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield from (f"    [*] --> {status}" for status in FIRST)
    for before, events in TRANSITIONS.items():
        yield from (f"    {before} --> {after}: {event}" for event, after in events.items())
        if not events:
            yield f"    {before} --> [*]"
    yield "```"
    yield ""
    yield "| status | event | becomes |"
    yield "| --- | --- | --- |"
    for before, events in TRANSITIONS.items():
        yield from (f"| {before} | {event} | {after} |" for event, after in events.items())
        if not events:
            yield f"| {before} | none | stays |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page())
