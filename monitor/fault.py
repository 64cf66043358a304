"""A fault of ours: its line says what, its traceback says where, once."""

import logging
import traceback

_told: set[tuple[type[BaseException], str, int | None]] = set()


def describe(error: BaseException | None) -> str:
    """Return an exception in one line: its kind, and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def trace(error: BaseException) -> None:
    """Log the traceback of *error*, unless one of its kind came from the same line before."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    kind = (type(error), last[0].filename if last else "", last[0].lineno if last else None)
    if kind not in _told:
        _told.add(kind)
        logging.getLogger("monitor").error("a fault of this program", exc_info=error)
