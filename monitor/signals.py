"""What the process's signals mean: stop, read the configuration again, say how things are."""

import asyncio
import signal
from collections.abc import Callable

ASKED = (signal.SIGHUP, signal.SIGUSR1)


def ignore_until_heeded() -> None:
    """Let no early question end the process, as it would by default."""
    for number in ASKED:
        signal.signal(number, signal.SIG_IGN)


def heed(
    loop: asyncio.AbstractEventLoop,
    *,
    stop: Callable[[str], None],
    reload: Callable[[], None],
    status: Callable[[], None],
    on_terminal: bool,
) -> None:
    """Call *stop* with a signal's name, *reload* or *status* in *loop* when a signal comes.

    On a terminal SIGHUP says that it was closed, and stops; without one nobody else sends it but
    who wants a reload (daemon(7)).
    """
    stopping = {signal.SIGTERM, signal.SIGINT} | ({signal.SIGHUP} if on_terminal else set())

    def on_stop(number: int, _frame: object) -> None:
        """Begin to stop. A second signal is the kernel's: it ends the process at once."""
        for each in stopping:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop, signal.Signals(number).name)

    for number in stopping:  # Python's own handlers: asyncio's wait for a loop that may hang
        signal.signal(number, on_stop)
    if not on_terminal:
        loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR1, status)
