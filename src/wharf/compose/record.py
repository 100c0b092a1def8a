"""Classes of named values, as dataclasses are, without the cost: importing `dataclasses` brings the parser of Python
with it, and each class is compiled from text. A tool that has 200 ms for all it does pays a fifth of them for that.

    class Step(Record, frozen=True):
        id: str
        after: tuple[str, ...] = ()
        data: dict[str, Any] = field(default_factory=dict)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T", bound="Record")
else:

    def dataclass_transform(**_: object) -> Callable[[type], type]:
        """What type checkers know the classes by."""
        return lambda cls: cls


class _Fresh:
    """A default that is made anew for each record."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A field whose value, unless given, is what the factory makes."""
    return _Fresh(default_factory)


@dataclass_transform(field_specifiers=(field,))
class Record:
    """Made by position or name; equal when of one class with equal values; `frozen` ones cannot be assigned to."""

    def __init_subclass__(cls, frozen: bool = False) -> None:
        names = tuple(cls.__annotations__)
        cls._fields = names
        cls._defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        if frozen:
            cls.__setattr__ = _refuse  # type: ignore[method-assign, assignment]

    if TYPE_CHECKING:
        _fields: Any
        _defaults: Any
    else:

        def __init__(self, *values: object, **named: object) -> None:
            cls = type(self)
            own = self.__dict__
            own.update(zip(cls._fields, values, strict=False))
            if len(values) > len(cls._fields) or not named.keys() <= set(cls._fields[len(values) :]):
                raise TypeError(f"{cls.__name__} takes the fields {', '.join(cls._fields)}, each once")
            own.update(named)
            if len(own) < len(cls._fields):
                self._add_defaults()
            self.__post_init__()

    def __post_init__(self) -> None:
        """What a class does when its values are there."""

    def _add_defaults(self) -> None:
        own, defaults = self.__dict__, self._defaults
        for name in self._fields:
            if name not in own:
                if name not in defaults:
                    raise TypeError(f"{type(self).__name__} needs the field {name}")
                value = defaults[name]
                own[name] = value.make() if type(value) is _Fresh else value

    def __eq__(self, other: object) -> bool:
        return self.__dict__ == other.__dict__ if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"


def _refuse(self: Record, name: str, value: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be assigned to")


def replace(record: T, **changes: Any) -> T:
    """Another record with some values changed."""
    return type(record)(**{**record.__dict__, **changes})
