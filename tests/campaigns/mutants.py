"""Bugs that any of us might write, planted in a copy of the program: something must find each.

A mutant is an edit of the source. Its catcher is a campaign or a test, run in the copy by a process
of its own: it must pass on the program as it is, fail on the mutant, and say why in the words that
are expected of it; another failure does not count. An edit that fits no more is an error, so the
list keeps up with the code.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.campaigns.figures import Figures, Violation

ROOT = Path(__file__).parent.parent.parent
COPIED = ("monitor", "tests", "config", "docs", "systemd", "pyproject.toml", "README.md")
LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Edit:
    """One piece of source, which occurs once in its file, and what it becomes."""

    file: str  # below monitor/
    old: str
    new: str

    def do(self, copy: Path) -> None:
        """Edit the file in a copy of the program.

        Raises:
            ValueError: the piece is not there, or there twice.
        """
        path = copy / "monitor" / self.file
        source = path.read_text(encoding="utf-8")
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"{self.file}: expected {self.old!r} once, found it {found} times")
        path.write_text(source.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    edits: Sequence[Edit]
    catcher: Sequence[str]  # arguments of Python
    says: str  # a part of its output, where it has found this bug


def campaign(name: str, *, seed: int, count: int) -> Sequence[str]:
    return ("-m", "tests.campaigns", name, "--seed", str(seed), "--count", str(count))


def tests(*which: str) -> Sequence[str]:
    settings = (
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-q",
        "-x",
        "--no-cov",
        "--timeout=300",
    )
    return ("-m", "pytest", *settings, *which)


FORTNIGHT = campaign("simulation", seed=2, count=1)
FAILING_CALLS = campaign("syscalls", seed=0, count=24)  # commits among them
KILLS = campaign("kills-warm", seed=1, count=50)  # of an odd seed: on PostgreSQL

VALIDATORS_FIRST = """\
    import sqlalchemy as sa
    from monitor.adapters.store import schema
    sent = {"etag": outcome.validators.etag, "last_modified": outcome.validators.last_modified}
    ours = schema.podcasts.c.id == feed.id
    await ctx.write(lambda conn: conn.execute(sa.update(schema.podcasts).where(ours).values(sent)))
"""
READ = "    reading = await read(reader, outcome, before, parse=ctx.parse, sandbox=ctx.sandbox)\n"
SEND = "                outcome = await ctx.stenobird.post(post.url, key=post.key, now=ctx.now())\n"
SETTLE_FIRST = """\
                taken = PostAnswered(202, None, "")
                early = after_post(work, post, taken, now=ctx.now(), jitter=0.0, rules=rules)
                await ctx.write(_settle, ctx, Work(work.episode, post.request), early, seen, taken)
"""
LOG_AT_ONCE = """\
    from monitor import log
    for seq, event in enumerate(events, first):
        log.emit(event, at=at, seq=seq)
    conn.execute(sa.insert(schema.events), rows)
"""
BY_TIME = """\
    since = conn.execute(sa.select(E.at).where(E.seq == seq)).scalar()
    since = since or datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    query = sa.select(schema.events).where(E.at > since).order_by(E.at).limit(limit)
"""
SKIP_ABSENT = """\
        if not present:
            gone = schema.requests.c.episode_id.in_(some)
            conn.execute(sa.update(schema.requests).where(gone).values(status="skipped"))
"""

MUTANTS = (
    Mutant(
        "validators committed before the plan",
        (Edit("jobs/poll.py", READ, VALIDATORS_FIRST + READ),),
        tests("tests/test_power_cut.py"),
        "assert_kept",
    ),
    Mutant(
        "a random key",
        (
            Edit(
                "core/delivery.py",
                'sha256(f"{podcast_slug}\\n{guid}\\n{generation}\\n{epoch}".encode()).hexdigest()',
                '__import__("secrets").token_hex(32)',
            ),
        ),
        FORTNIGHT,
        "expected one of its own",
    ),
    Mutant(
        "no BEGIN IMMEDIATE",
        (Edit("adapters/store/database.py", '"BEGIN IMMEDIATE"', '"BEGIN"'),),
        tests("tests/store/test_one_writer.py", "-k", "lose_no_update"),
        "locked",
    ),
    Mutant(
        "synchronous = OFF",
        (Edit("adapters/store/database.py", "synchronous = FULL", "synchronous = OFF"),),
        campaign("images", seed=1, count=300),
        "are lost",
    ),
    Mutant(
        "a lease without expiry",
        (
            Edit(
                "adapters/store/leases.py",
                "sa.or_(leased_until.is_(None), leased_until <= at)",
                "leased_until.is_(None)",
            ),
        ),
        KILLS,
        "not everything came to its end",
    ),
    Mutant(
        "a retry with a new payload",
        (
            Edit(
                "adapters/http.py",
                "address, headers=list(said.values()))",
                "address, headers=list(said.values()), content=WHEN[method]())",
            ),
            Edit(
                "adapters/http.py",
                "class _Keeping:",
                'WHEN = {"GET": bytes, "POST": lambda: str(asyncio.get_running_loop().time()).encode()}\n\n\nclass _Keeping:',
            ),
        ),
        FORTNIGHT,
        "expected one body",
    ),
    Mutant(
        "delivered before it was sent",
        (Edit("jobs/deliver.py", SEND, SETTLE_FIRST + SEND),),
        KILLS,
        "expected processed or failed, found accepted",
    ),
    Mutant(
        "logged before the commit",
        (
            Edit(
                "adapters/store/events.py",
                "    conn.execute(sa.insert(schema.events), rows)\n",
                LOG_AT_ONCE,
            ),
            Edit("logbook.py", "log.emit(line.event, at=line.at, seq=line.seq)", "True"),
        ),
        FAILING_CALLS,
        ": at is ",
    ),
    Mutant(
        "jitter both ways",
        (
            Edit(
                "core/schedule.py",
                "late = min(least * LATE, JITTER_CAP) * jitter",
                "late = min(least * LATE, JITTER_CAP) * (2 * jitter - 1)",
            ),
        ),
        tests("tests/core/test_schedule.py"),
        "next_poll_at",
    ),
    Mutant(
        "absence is deletion",
        (
            Edit(
                "adapters/store/catalogue.py",
                "        some = ids[at : at + AT_ONCE]\n",
                "        some = ids[at : at + AT_ONCE]\n" + SKIP_ABSENT,
            ),
        ),
        FORTNIGHT,
        "skipped",
    ),
    Mutant(
        "a key without the podcast",
        (Edit("core/delivery.py", 'f"{podcast_slug}\\n{guid}', 'f"{guid}'),),
        FORTNIGHT,
        "expected one of its own",
    ),
    Mutant(
        "the wall clock for order",
        (
            Edit(
                "adapters/store/events.py",
                "    query = sa.select(schema.events).where(E.seq > seq).order_by(E.seq).limit(limit)\n",
                BY_TIME,
            ),
        ),
        FORTNIGHT,
        "never reached the log",
    ),
)


def run(count: int, seed: int) -> Figures:
    """Plant *count* bugs, from the *seed*-th on; each that nobody finds is a violation."""
    began = time.monotonic()
    chosen = [(n, MUTANTS[n % len(MUTANTS)]) for n in range(seed, seed + min(count, len(MUTANTS)))]
    violations = list(_unsound({mutant.catcher for _, mutant in chosen}))
    found = {}
    for number, mutant in chosen:
        output, caught = _caught(mutant)
        found[mutant.name] = int(caught)
        if not caught:
            what = f"{mutant.name}: not found by {' '.join(mutant.catcher)}\n{output[-2000:]}"
            violations.append(Violation("mutants", number, what))
    took_s = time.monotonic() - began
    return Figures("mutants", len(chosen), "planted bugs", found, violations, took_s)


def _unsound(catchers: set[Sequence[str]]) -> Iterator[Violation]:
    """Yield the catchers that find something in the program as it is."""
    for catcher in sorted(catchers):
        with TemporaryDirectory() as place:
            done = _run(catcher, copied(Path(place)))
        if done.returncode:
            what = f"without a planted bug: {' '.join(catcher)}\n{done.stdout[-2000:]}"
            yield Violation("mutants", 0, what)


def _caught(mutant: Mutant) -> tuple[str, bool]:
    """Return what the catcher said, and whether it found the bug."""
    with TemporaryDirectory() as place:
        copy = copied(Path(place))
        for edit in mutant.edits:
            edit.do(copy)
        done = _run(mutant.catcher, copy)
    return done.stdout, done.returncode != 0 and mutant.says in done.stdout


def copied(place: Path) -> Path:
    """Copy the program to a place; its processes, too, import what lies there."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place / name)
    return place


def _run(catcher: Sequence[str], copy: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *catcher],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
