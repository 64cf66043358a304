"""``podcast-monitor demo``: the real daemon against both far ends, in about 20 seconds.

The feed and Stenobird are played on loopback (``server``), the daemon is a process of its own on
a real SQLite file, its intervals are seconds instead of hours, and in the middle it is killed.
What counts in the end is not what the daemon says but what Stenobird's own ledger says.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from monitor.clock import now
from monitor.demo import Fault, lost_answer, slow, status, truncated
from monitor.demo.process import DaemonProcess, wait_until
from monitor.demo.publisher import Item, Publisher, real_items
from monitor.demo.server import World, serve_in_thread
from monitor.demo.stenobird import FAILS, Dialect, Replica
from monitor.demo.verdict import all_settled, judge

NEW = 7  # of the 92 real episodes are published during the rehearsal
WIDTH = 150  # where the output goes to no terminal
SLUG = "latent-space-ai-engineer"
END_WITHIN_S = 20.0  # of the last scene, everything must have come to its end

CONFIG = """
database = "sqlite:///{directory}/demo.db"

[log]
format = "console"

[network]
contact = "rehearsal"
deadline = "3s"
per_host_interval = "10ms"
allow_private = true

[stenobird]
base_url = "{url}"

[requests]
per_minute = 600
audio_minutes_per_day = 10000
retry = {{ min = "500ms", max = "2s" }}
not_listed = {{ min = "400ms", max = "1s" }}

[[podcasts]]
name = "latent-space"
feed = "{url}{path}"
stenobird = "{slug}"
poll = {{ min = "500ms", max = "3s", per_day = 144000 }}
track = {{ min = "300ms", max = "1s" }}
backfill = "7d"
"""


def main() -> int:
    """Rehearse; return 0 only if every promise was kept."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the daemon ends too
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    with TemporaryDirectory(prefix="podcast-monitor-") as directory:
        return Rehearsal(console, Path(directory)).play()


@dataclass(frozen=True, slots=True)
class Scene:
    at_s: float  # since the curtain rose
    says: str
    happens: Callable[[], None]


class Rehearsal:
    """The far ends, the script, and in the end the verdict."""

    def __init__(self, console: Console, directory: Path) -> None:
        self.console = console
        self.directory = directory
        items = real_items()
        self.new = tuple(reversed(items[:NEW]))  # oldest first, as they will be published
        self.old = items[NEW:]
        self.publisher = Publisher("latent-space", self.old, clock=now)
        self.replica = Replica(
            {SLUG: self.publisher},
            clock=now,
            dialect=Dialect(idle_state="not_requested"),
            listed_after=timedelta(seconds=0.7),
            step_every=timedelta(seconds=0.6),
        )
        for item in self.old:
            self.replica.entry(item.guid).state = "processed"

    def play(self) -> int:
        """Return 0 if every promise was kept, else 1."""
        self.console.print(self._programme())
        database = self.directory / "demo.db"
        with serve_in_thread(World(self.publisher, replica=self.replica)) as url:
            config = self._configure(url)
            with DaemonProcess(config, self.console, len(self.old)) as daemon:
                self._perform(daemon)
                settled = wait_until(lambda: all_settled(database, self.new), END_WITHIN_S)
                end = "Everything has come to its end" if settled else "Time is up"
                self._say(f"{end}: the status, and a clean stop.")
                exit_code = daemon.stop()
        verdict = judge(database, self.replica, self.new, self.old, exit_code)
        self.console.print(verdict.shown())
        return 0 if verdict.kept else 1

    def _programme(self) -> Panel:
        text = Text.assemble(
            "Latent Space's feed and Stenobird are played on this machine, with ",
            (f"{len(self.old)} real episodes", "bold"),
            f" in the feed and {NEW} more to come.\nThe daemon is the real one, its hours are"
            " seconds. Its log is below; lines like ",
            ("── this", "bold magenta"),
            " say what is done to it.",
        )
        return Panel(text, title="podcast-monitor · rehearsal", border_style="cyan")

    def _configure(self, url: str) -> Path:
        path = self.directory / "demo.toml"
        text = CONFIG.format(directory=self.directory, url=url, path=self.publisher.path, slug=SLUG)
        path.write_text(text, encoding="utf-8")
        return path

    def _perform(self, daemon: DaemonProcess) -> None:
        began = time.monotonic()
        for scene in self._scenes(daemon):
            time.sleep(max(0.0, began + scene.at_s - time.monotonic()))
            self._say(scene.says)
            scene.happens()

    def _say(self, text: str) -> None:
        self.console.print(Text(f"── {text}", "bold magenta"))

    # --- the script -----------------------------------------------------------------------

    def _scenes(self, daemon: DaemonProcess) -> Iterator[Scene]:
        first, second, third, fourth, fifth, sixth, seventh = self.new
        yield Scene(1.5, "An episode is published.", lambda: self._publish(first))
        yield Scene(
            3.5,
            "Another. Stenobird is busy and answers its request with 429.",
            lambda: self._publish_to(second, status(429, retry_after=1)),
        )
        yield Scene(
            5.5,
            "One comes backdated by nine days, as a real re-upload did.",
            lambda: self._publish(third, back=timedelta(days=9)),
        )
        yield Scene(
            7.5,
            "Stenobird takes the next request, but its answer is lost on the way.",
            lambda: self._publish_to(fourth, lost_answer()),
        )
        yield Scene(9.5, "A title is edited and an audio file replaced.", self._edit)
        yield Scene(10.5, "The feed is down.", lambda: self.publisher.faults.next(status(503)))
        yield Scene(
            12,
            "News in a feed that is cut off; then Stenobird takes its request and answers 500.",
            lambda: self._publish_truncated(fifth, status(500, after_effect=True)),
        )
        yield Scene(
            14, "An episode that Stenobird will give up on.", lambda: self._publish_failing(sixth)
        )
        yield Scene(
            16,
            "kill -9 while a request is on its way; then a new start.",
            lambda: self._kill(seventh, daemon),
        )

    def _publish(self, item: Item, *, back: timedelta = timedelta()) -> None:
        self.publisher.publish(replace(item, published_at=now() - back))

    def _publish_to(self, item: Item, fault: Fault) -> None:
        self.replica.post_faults.next(fault)
        self._publish(item)

    def _publish_truncated(self, item: Item, fault: Fault) -> None:
        self.publisher.faults.next(truncated())
        self._publish_to(item, fault)

    def _publish_failing(self, item: Item) -> None:
        self.replica.entry(item.guid).path = FAILS
        self._publish(item)

    def _edit(self) -> None:
        first, second, *_ = self.new
        self.publisher.edit_title(first.guid, f"{first.title} [updated]")
        audio_url = f"https://api.substack.com/feed/podcast/{second.guid[-9:]}/{'0f' * 16}.mp3"
        self.publisher.replace_audio(second.guid, audio_url)

    def _kill(self, item: Item, daemon: DaemonProcess) -> None:
        self._publish_to(item, slow(5))
        wait_until(lambda: any(e.guid == item.guid for e in self.replica.effects), END_WITHIN_S)
        daemon.kill()
        self._say("It is dead. Stenobird has the request; nobody here knows.")
        daemon.start()
