"""The fields of a line that was read, each as the value it must be. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from monitor.core.model import Scalar

BEYOND: Final = 2**63  # which no database counts to


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says. Every method raises ValueError where that is no such value."""

    fields: Mapping[str, Scalar | Mapping[str, int]]

    def text(self, name: str) -> str | None:
        value = self.fields.get(name)
        if value is None or isinstance(value, str):
            return value
        return str(value)  # a reason of digits alone, of a program that did not quote it

    def whole(self, name: str) -> int | None:
        """Return a whole number, or None where it is not said."""
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < BEYOND:
            return value
        raise ValueError(f"{name} is no whole number")

    def number(self, name: str) -> int:
        """Return a whole number; it must be said."""
        value = self.whole(name)
        if value is None:
            raise ValueError(f"{name} is missing")
        return value

    def counts(self, name: str) -> dict[str, int]:
        """Return an object of counts, without the zeros."""
        value = self.fields.get(name)
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} is no object")  # noqa: TRY004 - a line is at fault, not a type
        return {key: count for key, count in value.items() if Said(value).number(key)}

    def instant(self, name: str) -> datetime | None:
        """Return an instant, or None where it is not said."""
        value = self.fields.get(name)
        if value is None:
            return None
        at = datetime.fromisoformat(str(value))
        try:
            return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{name} lies beyond all years") from error

    def moment(self, name: str) -> datetime:
        """Return an instant; it must be said."""
        at = self.instant(name)
        if at is None:
            raise ValueError(f"{name} is missing")
        return at
