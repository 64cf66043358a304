"""What a disk may hold after a power cut, by the order of the calls that were made.

The model: what was written before a file's last completed fsync or fdatasync is there. Of the rest,
writes and truncations alike, each may be there or not, in any combination, and of a write any of its
512-byte sectors (SQLite's *powersafe overwrite*: what lies beside a write is not harmed by it). A
file that was created or removed is certainly so from the next fsync of its directory; until then
it may be either. What was never written in a file reads as zeros.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.campaigns.tracing import SYNCS, Call

SECTOR_BYTES = 512
TORN = 0.2  # of the unsynchronised writes that are kept


@dataclass(slots=True)
class File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)
    certain: bool = False  # that it exists

    def sync(self) -> None:
        for call in self.pending:
            apply(self.durable, call)
        self.pending.clear()


@dataclass(frozen=True, slots=True)
class Image:
    """The files of one moment."""

    files: dict[str, bytes]  # by name
    dropped: int  # calls of which nothing is there
    torn: int  # writes of which a part is there


class Disk:
    """The files of one directory, as far as is certain, and what is still under way."""

    def __init__(self, names: Iterable[str], there: Mapping[str, bytes] | None = None) -> None:
        """Begin with what has long been *there*; see nothing but the *names*."""
        self._names = frozenset(names)
        self._files: dict[str, File] = {
            name: File(bytearray(content), certain=True) for name, content in (there or {}).items()
        }

    def do(self, call: Call) -> None:
        """Go on by one call."""
        if call.name in SYNCS and call.path.name not in self._names:
            for file in self._files.values():  # of the directory: there is one
                file.certain = True
        if call.path.name not in self._names:
            return
        file = self._files.get(call.path.name)
        if call.name == "openat":
            if call.creates:
                self._files.setdefault(call.path.name, File())
        elif file is None:
            raise ValueError(f"{call.name} of {call.path}, which was never created")
        elif call.name in SYNCS:
            file.sync()
        elif call.name in {"pwrite64", "ftruncate"}:
            file.pending.append(call)
        else:
            raise ValueError(f"a call that the model does not know: {call.name} of {call.path}")

    def flushed(self) -> Image:
        """Return what is there if the power stays."""
        files = {}
        for name, file in self._files.items():
            content = bytearray(file.durable)
            for call in file.pending:
                apply(content, call)
            files[name] = bytes(content)
        return Image(files, 0, 0)

    def cut(self, chance: Random) -> Image:
        """Return what may be there if the power goes now."""
        files, dropped, torn = {}, 0, 0
        for name, file in self._files.items():
            if not file.certain and chance.random() < 0.5:
                dropped += 1
                continue
            content = bytearray(file.durable)
            kept = chance.choice((0.0, 1.0, chance.random()))  # nothing, everything, some
            for call in file.pending:
                if chance.random() >= kept:
                    dropped += 1
                elif call.name == "pwrite64" and chance.random() < TORN:
                    torn += 1
                    tear(content, call, chance)
                else:
                    apply(content, call)
            files[name] = bytes(content)
        return Image(files, dropped, torn)


def apply(content: bytearray, call: Call) -> None:
    """Do a write or a truncation."""
    if call.name == "ftruncate":
        del content[call.number :]
        content.extend(bytes(call.number - len(content)))
        return
    content.extend(bytes(max(0, call.number - len(content))))
    content[call.number : call.number + len(call.data)] = call.data


def tear(content: bytearray, call: Call, chance: Random) -> None:
    """Do some sectors of a write, as they lie on the disk."""
    at, end = call.number, call.number + len(call.data)
    while at < end:
        until = min(end, at - at % SECTOR_BYTES + SECTOR_BYTES)
        if chance.random() < 0.5:
            part = call.data[at - call.number : until - call.number]
            apply(content, Call("pwrite64", call.path, part, at))
        at = until


def write(image: Image, directory: Path) -> None:
    """Put an image's files into a directory, and nothing else."""
    for path in directory.iterdir():
        path.unlink()
    for name, content in image.files.items():
        (directory / name).write_bytes(content)
