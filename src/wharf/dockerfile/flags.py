"""Flags between an instruction's name and its arguments."""

from collections.abc import Iterable, Mapping
from enum import Enum

from wharf.dockerfile.suggest import hint
from wharf.errors import Invalid


class Kind(Enum):
    """What a flag takes."""

    BOOL = "bool"
    TEXT = "text"
    LIST = "list"


class Flags:
    """The flags of one instruction, checked against those it knows."""

    def __init__(self, given: Iterable[str], known: Mapping[str, Kind]) -> None:
        """Raises Invalid for one that is unknown, repeated or without its value."""
        self._values: dict[str, list[str]] = {}
        for word in given:
            name, equals, value = word.partition("=")
            kind = known.get(name[2:])
            if kind is None:
                raise Invalid(f"unknown flag: {name}{hint(name[2:], known)}")
            if name[2:] in self._values and kind is not Kind.LIST:
                raise Invalid(f"duplicate flag specified: {name}")
            if (equals and not value and kind is Kind.BOOL) or (not equals and kind is not Kind.BOOL):
                raise Invalid(f"missing a value on flag: {name}")
            if kind is Kind.BOOL and value.lower() not in ("", "true", "false"):
                raise Invalid(f"expecting boolean value for flag {name}, not: {value}")
            self._values.setdefault(name[2:], []).append(value)

    def text(self, name: str) -> str:
        """The value; empty where the flag is not given."""
        return self._values.get(name, [""])[-1]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a flag that may be repeated."""
        return tuple(self._values.get(name, ()))

    def maybe(self, name: str) -> bool | None:
        """A yes or no; None where it is not given."""
        if name not in self._values:
            return None
        return self._values[name][-1].lower() != "false"

    def is_set(self, name: str) -> bool:
        """A yes or no; no where it is not given."""
        return bool(self.maybe(name))
