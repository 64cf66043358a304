"""The power goes before each outside action of two episodes' lives, at every Stenobird, on both databases.

An outside action is an SQL statement, a commit, the turn for a POST, an HTTP request, the arrival of
its answer. An undisturbed life counts them; then the same life is lived once for each, with the power
cut just before it, and on to its end after a restart on the same database.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Literal

from monitor.demo import lost_answer, status
from monitor.demo.stenobird import Dialect
from tests.campaigns.figures import Figures, Violation
from tests.campaigns.kills import new_database
from tests.databases import PostgreSQL, postgresql_server
from tests.living import Life, Switch

Kind = Literal["sqlite", "postgresql"]
EPISODES = 2
SCENES: Mapping[str, Dialect] = {
    "by key": Dialect(),
    "by episode, 409 when repeated": Dialect(remembers="episode", repeat_status=409),
    "nothing remembered": Dialect(remembers="nothing", post_status=201),
    "nested, 303, rooted": Dialect(shape="nested", post_status=303, action="rooted"),
    "camel, 204, no action": Dialect(shape="camel", post_status=204, action="absent"),
    "Markdown alone": Dialect(shape="page", markdown="one_line", post_body=False),
    "no state in JSON": Dialect(state_as="missing", not_found="empty"),
    "slug of the title": Dialect(slug_of="title", not_found="html"),
}


@contextmanager
def scene(name: str, url: str) -> Iterator[Life]:
    """Begin a life in which the first POST's answer is lost, and the second is a 500 in vain."""
    with Life(new=EPISODES, dialect=SCENES[name], url=url) as life:
        life.replica.post_faults.next(lost_answer(), status(500))
        yield life


def actions(name: str, url: str) -> int:
    """Return how many outside actions an undisturbed life takes."""
    with scene(name, url) as life:
        switch = Switch()
        assert life.live(switch)
        life.assert_kept()
        return switch.count


def cut(name: str, url: str, cut_before: int) -> None:
    """Live with the power cut before one action, then on.

    Raises:
        AssertionError: a promise was broken.
    """
    with scene(name, url) as life:
        life.live(Switch(cut_before))
        life.void_leases()  # on PostgreSQL they run out by the server's clock, which nobody turns
        assert life.live(Switch()), "it did not come to its end"
        life.assert_kept()


def run(count: int, seed: int, server: PostgreSQL | None = None) -> Figures:
    """Cut so many times, by a seed: each scene and database as often, before any action of it."""
    began = time.monotonic()
    violations = []
    faults: Counter[str] = Counter()
    with ExitStack() as stack:
        server = server or stack.enter_context(postgresql_server())
        fresh = databases(server, stack)
        for name, kind, cut_before in _cuts(count, Random(seed), fresh):
            faults[kind] += 1
            try:
                cut(name, fresh[kind](), cut_before)
            except AssertionError as error:
                what = f"{name} on {kind}, cut before action {cut_before}: {error}"
                violations.append(Violation("power", seed, what))
    took_s = time.monotonic() - began
    return Figures("power", faults.total(), "power cuts", faults, violations, took_s)


def _cuts(
    count: int, chance: Random, fresh: Mapping[Kind, Callable[[], str]]
) -> Iterator[tuple[str, Kind, int]]:
    """Yield scene, database and action; no action twice, until there is none left."""
    places = [(name, kind) for name in SCENES for kind in fresh]
    chance.shuffle(places)
    left = {}
    for name, kind in places[:count]:
        left[name, kind] = list(range(1, actions(name, fresh[kind]()) + 1))
        chance.shuffle(left[name, kind])
    for number in range(count):
        name, kind = places[number % len(places)]
        if left[name, kind]:
            yield name, kind, left[name, kind].pop()


def databases(server: PostgreSQL, stack: ExitStack) -> Mapping[Kind, Callable[[], str]]:
    """Return what makes a new database of each kind, to be gone with *stack*."""

    def fresh(server: PostgreSQL | None) -> str:
        place = Path(stack.enter_context(TemporaryDirectory()))
        return stack.enter_context(new_database(place, server))

    return {"sqlite": lambda: fresh(None), "postgresql": lambda: fresh(server)}
