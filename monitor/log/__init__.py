"""The log: a closed list of events, three forms of a line, and the one way out.

``docs/log.md`` is its manual. Whoever prints a line elsewhere (``podcast-monitor events``)
prints what ``render`` returns, so that a line means the same wherever it is read.
"""

from monitor.log.events import EVENTS, EventKind
from monitor.log.lines import Form, render
from monitor.log.output import emit, setup

__all__ = ["EVENTS", "EventKind", "Form", "emit", "render", "setup"]
