"""What may stand in one field of an imported line. A reason names the field and never says what stood there."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..dates import moment_of
from ..errors import InvalidDateError, InvalidIdError, InvalidMetadataError
from ..metadata import checked_metadata
from ..scope import checked_id

_INTEGER_MAX = 2**31 - 1


class LineError(ValueError):
    """Why a line is not taken, to be read behind its number."""


class Fields:
    """The values of one line, each asked for by its name and kind."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A text that says something."""
        text = self.maybe_text(name)
        if not text or not text.strip():
            raise LineError(f"has no {name}")
        return text

    def maybe_text(self, name: str) -> str | None:
        value = self._values.get(name)
        return None if value is None else _storable(name, value)

    def short(self, name: str, default: str = "") -> str:
        """A word of ours, such as a kind or a role."""
        text = self.maybe_text(name) or default
        if len(text) > 1000:
            raise LineError(f"has a {name} of more than 1000 characters")
        return text

    def scope(self, name: str) -> str:
        """An id within the owner; empty where there is none."""
        value = self._values.get(name)
        return "" if value in (None, "") else _id(name, value)

    def owner(self) -> str:
        if not self.has("user_id"):
            raise LineError("names no owner (user_id)")
        return _id("user_id", self._values["user_id"])

    def uuid(self, name: str) -> UUID:
        found = self.maybe_uuid(name)
        if found is None:
            raise LineError(f"has no {name}")
        return found

    def maybe_uuid(self, name: str) -> UUID | None:
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return UUID(value)
        except (ValueError, TypeError, AttributeError):
            raise LineError(f"has a {name} that is no UUID") from None

    def moment(self, name: str) -> datetime:
        found = self.maybe_moment(name)
        if found is None:
            raise LineError(f"has no {name}")
        return found

    def maybe_moment(self, name: str) -> datetime | None:
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return _written_by_us(value) or moment_of(value).astimezone(UTC)
        except (InvalidDateError, OverflowError):
            raise LineError(f"has a {name} that is no date") from None

    def number(self, name: str) -> int:
        """A count; 0 where there is none."""
        value = self._values.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _INTEGER_MAX:
            raise LineError(f"has a {name} that is no count")
        return value

    def share(self, name: str) -> float | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise LineError(f"has a {name} that is no number from 0 to 1")
        return float(value)

    def flag(self, name: str) -> bool:
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise LineError(f"has a {name} that is neither true nor false")
        return value

    def texts(self, name: str) -> list[str]:
        value = self._values.get(name, [])
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise LineError(f"has a {name} that is no list")
        return [_storable(name, one) for one in value]

    def metadata(self, name: str = "metadata") -> dict[str, Any] | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise LineError(f"has {name} that is no object")
        try:
            return checked_metadata(value).value
        except InvalidMetadataError:
            raise LineError(f"has {name} that cannot be kept: too much, too deep, or with a NUL character") from None


def _written_by_us(value: object) -> datetime | None:
    """A moment in our own form, which most are: much quicker than all that people may write."""
    if not isinstance(value, str) or not value.endswith("+00:00"):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _storable(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise LineError(f"has a {name} that is no text")
    if "\0" in value:
        raise LineError(f"has a NUL character in its {name}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LineError(f"has half a surrogate pair in its {name}") from None
    return value


def _id(name: str, value: object) -> str:
    try:
        return checked_id(name, value)
    except InvalidIdError:
        raise LineError(f"has a {name} that is none: empty, with blanks around it, a wildcard or too long") from None
