"""What ends in a message, and never in a traceback."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy.exc import SQLAlchemyError

from monitor.core.model import ConfigError, MonitorError


def explained(error: Exception) -> tuple[str, int]:
    """Return what to tell a user of an error, and the exit status; raise it if it is our bug."""
    match error:
        case ConfigError():
            return str(error), 2
        case MonitorError():
            return str(error), 1
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return f"{place}{error.strerror or error}; see to that, and try again", 1
        case SQLAlchemyError():
            why = getattr(error, "orig", None) or error
            return f"the database did not do what was asked ({why}); try again", 1
        case UnicodeEncodeError(reason="surrogates not allowed"):
            return "an argument is not UTF-8", 2
        case _:
            raise error


@contextmanager
def told_in_the_log() -> Iterator[None]:
    """Say what ends the daemon in its log, in the log's form and with a priority."""
    try:
        yield
    except Exception as error:
        text, code = explained(error)
        logging.getLogger("monitor").error(text)  # noqa: TRY400 - there is nothing to trace
        raise typer.Exit(code) from error
