"""A podcast that publishes some episodes a week, and a Stenobird that processes them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, cycle

from monitor.demo import Answer
from monitor.demo.publisher import Item, Publisher, filler, new_item, real_items
from monitor.demo.stenobird import Replica

EVERY = timedelta(days=7) / 2.5  # an episode
LISTED_AFTER = timedelta(hours=6)
STEP_EVERY = timedelta(hours=3)  # queued, transcribing, processed
EDITED = 10  # one title in so many is corrected a day later


class FullReplica(Replica):
    """Publishes as much of an episode as the captured page does: some 2 kB of text."""

    def resource(self, podcast: str, slug: str, *, origin: str) -> Answer:
        answer = super().resource(podcast, slug, origin=origin)
        document = json.loads(answer.body)
        if "summary" not in document:
            return answer
        document |= {
            "summary": filler(slug, 290),
            "highlights": [filler(f"{slug}{n}", 130) for n in range(5)],
            "topics": [filler(f"{slug}{n}", 22) for n in range(8)],
            "chapters": [
                {"start_seconds": 230 * n, "title": filler(slug, 35), "text": filler(slug, 105)}
                for n in range(7)
            ],
        }
        return replace(answer, body=json.dumps(document).encode())


def plan(publisher: Publisher, start: datetime) -> Iterator[tuple[datetime, Callable[[], bool]]]:
    """Yield what a podcast does, and when; done, it returns whether there is a new episode."""
    titles = cycle(real_items())
    for n in count(1):
        model = next(titles)
        at = start + (n - 1) * EVERY
        item = new_item(900_000_000 + n, f"{model.title} ({n})", at, duration_s=model.duration_s)

        def publish(item: Item = item) -> bool:
            publisher.publish(item)
            return True

        def edit(item: Item = item) -> bool:
            publisher.edit_title(item.guid, f"{item.title}, corrected")
            return False

        yield at, publish
        if n % EDITED == 0:
            yield at + timedelta(days=1), edit
