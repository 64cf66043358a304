"""A dozen histories of any kind, the same at every time."""

from tests.campaigns.stateful import live


def test_any_history_keeps_the_promise():
    live(12)
