"""Placeholder."""

from collections.abc import Iterable

from monitor.core.model import Reading
from monitor.core.parse import read_whole


async def read_apart(pieces: Iterable[bytes], *, deadline_s: float) -> Reading:
    return read_whole(b"".join(pieces))
