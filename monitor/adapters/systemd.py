"""What the daemon tells systemd, and how often it must: sd_notify(3) and sd_watchdog_enabled(3).

Without systemd, and where it cannot be reached, every message is a no-op.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

# A full queue (systemd itself is stuck) must not hold up the event loop for longer.
_SEND_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends the state of the service. Each verb returns whether systemd's queue took it."""

    address: str | None  # of a datagram socket; "@" begins an abstract name; None: no systemd

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self) -> bool:
        """Started, or reloaded: both end with this."""
        return self._send("READY=1")

    def extend(self, by: timedelta) -> bool:
        """Starting takes long: it may go on for so long from now, or until this is said again."""
        return self._send(f"EXTEND_TIMEOUT_USEC={by // timedelta(microseconds=1)}")

    def stopping(self) -> bool:
        return self._send("STOPPING=1")

    def reloading(self, monotonic_usec: int) -> bool:
        """*monotonic_usec* is CLOCK_MONOTONIC, by which systemd tells one reload from another."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_usec}")

    def status(self, text: str) -> bool:
        """Set the one line of ``systemctl status``. White space of any kind becomes one space."""
        return self._send("STATUS=" + " ".join(text.split()))  # a line break would begin a message

    def watchdog(self) -> bool:
        return self._send("WATCHDOG=1")

    def _send(self, message: str) -> bool:
        if self.address is None:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_systemd:
                to_systemd.settimeout(_SEND_TIMEOUT_S)
                to_systemd.sendto(message.encode(errors="replace"), address)
        except OSError:  # gone, full, refused, or an address that is no socket's
            return False
        return True


def watchdog_interval(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """Return how often to feed the watchdog: half of what it allows. None: nobody watches *pid*.

    The environment is inherited, so a $WATCHDOG_PID that names another process ends the matter.
    """
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    try:
        allowed_usec = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return timedelta(microseconds=allowed_usec) / 2 if allowed_usec > 0 else None
