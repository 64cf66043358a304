"""A process that has everything imported, and forks daemons.

``python -m tests.campaigns.warm [hurried]`` reads lines: ``CONFIG<tab>LOG`` begins a life and is
answered by its pid, a pid is answered by its exit status once it has ended. There is no thread and
no event loop here, so that forking is safe; what a life does is what ``podcast-monitor run`` does.

``hurried``: what a dead daemon holds runs out after seconds instead of minutes.
"""

import os
import sys
from datetime import timedelta

# What the daemon imports when it first needs it.
import feedparser  # noqa: F401
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite  # noqa: F401

from monitor import cli, rules
from monitor.adapters.store import presence


def main() -> None:
    if "hurried" in sys.argv:
        rules.LEASE_MARGIN = timedelta(seconds=1)  # on top of the network's deadline
        presence.RENEW_EVERY = timedelta(seconds=0.5)
        presence.ALIVE_FOR = 3 * presence.RENEW_EVERY
    for line in sys.stdin:
        config, tab, log = line.rstrip("\n").partition("\t")
        if not tab:
            _, status = os.waitpid(int(config), 0)
            answer(os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if pid == 0:
            live(config, log)
        answer(pid)


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def live(config: str, log: str) -> None:
    """Be ``podcast-monitor run``, with its log in a file."""
    for number, path in ((0, os.devnull), (1, os.devnull), (2, log)):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["podcast-monitor", "--config", config, "run"]
    code: object = 1
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
