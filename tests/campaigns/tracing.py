"""What a process asks the kernel to do to files, as strace saw it.

strace writes a line when a call begins. One that another thread's call interrupts ends in
``<unfinished ...>`` and goes on in a line with ``resumed>``.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

STRACE = shutil.which("strace")
CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat2,fallocate"
SYNCS = frozenset({"fsync", "fdatasync"})
LONGEST_BYTES = 1 << 20  # of what one call writes

LINE = re.compile(
    r"(?P<thread>\d+) +(?:(?P<name>\w+)\((?P<rest>.*)|<\.\.\. \w+ resumed>(?P<end>.*))"
)
TEXT = re.compile(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]')  # of a path or what is written, with -xx
RESULT = re.compile(r" = (-?\d+)[^=]*$")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that succeeded. Of a write the offset is None where the file's own is meant."""

    name: str
    path: Path
    data: bytes = b""
    number: int = 0  # the last argument: an offset, or a length to truncate to
    creates: bool = False


def record(command: Sequence[str], place: Path, environ: Mapping[str, str]) -> list[Call]:
    """Run a command to its end; return what it did in a directory and below, in order."""
    assert STRACE is not None
    to = place / "trace"
    strace = [STRACE, "-f", "-y", "-xx", "-s", str(LONGEST_BYTES), "--seccomp-bpf"]
    subprocess.run(
        [*strace, "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(to), "--", *command],
        env=dict(environ),
        check=True,
    )
    with to.open(encoding="ascii") as lines:
        return [call for call in _calls(lines) if call.path.is_relative_to(place)]


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    """A write counts from where it begins, a sync from where it has ended."""
    begun: dict[str, tuple[str, str]] = {}
    for line in lines:
        found = LINE.match(line)
        if found is None:  # a process that ends
            continue
        thread, name, rest = found["thread"], found["name"], found["rest"]
        if name is None:
            name, rest = begun.pop(thread)
            if name in SYNCS and _succeeded(found["end"]):
                yield _call(name, rest)
        elif rest.endswith("<unfinished ...>"):
            begun[thread] = name, rest
            if name not in SYNCS:
                yield _call(name, rest.removesuffix("<unfinished ...>").rstrip())
        elif _succeeded(rest):
            yield _call(name, RESULT.sub("", rest).removesuffix(")"))


def _succeeded(rest: str) -> bool:
    result = RESULT.search(rest)
    return result is not None and int(result[1]) >= 0


def _call(name: str, rest: str) -> Call:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(rest)]
    if name in {"openat", "unlinkat"}:  # relative to a directory, which is named first
        directory, path = (Path(text.decode()) for text in texts[:2])
        return Call(name, directory / path, creates="O_CREAT" in rest)
    path = Path(texts[0].decode())
    data = texts[1] if name in {"write", "pwrite64"} else b""
    last = rest.rsplit(",", 1)[-1].strip(" )")
    return Call(name, path, data, int(last) if last.isdigit() else 0)
