"""Variables in a file's values, and the casts of what was text because of them (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from wharf.compose import tree
from wharf.compose.substitute import InvalidTemplate, Lookup, Warn, substitute
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DECIMAL = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity)|nan", re.IGNORECASE)


def to_int(text: str, function: str = "Atoi") -> int:
    """strconv.Atoi; raises Invalid with its words."""
    if not _DECIMAL.fullmatch(text):
        raise Invalid(f'strconv.{function}: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise Invalid(f'strconv.{function}: parsing "{text}": value out of range')
    return value


def to_int64(text: str) -> int:
    """strconv.ParseInt in base 10."""
    return to_int(text, "ParseInt")


def to_float(text: str) -> float:
    """strconv.ParseFloat."""
    if not _FLOAT.fullmatch(text):
        raise Invalid(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise Invalid(f'strconv.ParseFloat: parsing "{text}": value out of range')
    return value


def to_bool(text: str) -> bool:
    """YAML 1.1's words for true and false."""
    lower = text.lower()
    if lower in ("true", "y", "yes", "on"):
        return True
    if lower in ("false", "n", "no", "off"):
        return False
    raise Invalid(f"invalid boolean: {text}")


def bool_warning(text: str) -> str:
    """What is said about a word of YAML 1.1, or nothing."""
    if text.lower() in ("true", "false"):
        return ""
    better = "true" if to_bool(text) else "false"
    return f'"{text}" for boolean is not supported by YAML 1.2, please use `{better}`'


_SERVICE: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("cpu_count", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares",
                     "oom_score_adj", "pids_limit"), to_int64),
    **dict.fromkeys(("deploy.replicas", "deploy.update_config.parallelism", "deploy.rollback_config.parallelism",
                     "deploy.restart_policy.max_attempts", "deploy.placement.max_replicas_per_node",
                     "healthcheck.retries", "ports.[].target", "scale", "ulimits.*", "ulimits.*.hard",
                     "ulimits.*.soft"), to_int),
    **dict.fromkeys(("cpu_percent", "cpus", "deploy.update_config.max_failure_ratio",
                     "deploy.rollback_config.max_failure_ratio"), to_float),
    **dict.fromkeys(("init", "healthcheck.disable", "oom_kill_disable", "privileged", "read_only", "stdin_open", "tty",
                     "volumes.[].read_only", "volumes.[].volume.nocopy"), to_bool),
}  # fmt: skip
_OTHERS = ("networks.*.external", "networks.*.internal", "networks.*.attachable", "networks.*.enable_ipv4",
           "networks.*.enable_ipv6", "volumes.*.external", "secrets.*.external", "configs.*.external")  # fmt: skip
_CASTS = tree.rules({f"services.*.{name}": cast for name, cast in _SERVICE.items()} | dict.fromkeys(_OTHERS, to_bool))


def interpolate(value: Any, lookup: Lookup, warn: Warn) -> Any:
    """A file's values with variables replaced; raises Invalid with the path of what is wrong."""
    return _Interpolation(lookup, warn).walk(value, [_CASTS], ())


class _Interpolation:
    def __init__(self, lookup: Lookup, warn: Warn) -> None:
        self._lookup = lookup
        self._warn = warn

    def walk(self, value: Any, places: list[tree.Rules], path: tree.Path) -> Any:
        if isinstance(value, str):
            return self._text(value, tree.rule_of(places), path)
        if isinstance(value, dict):
            result = {}
            for key, item in value.items():
                below = tree.step(places, key) if places else places
                plain = not below and type(item) is str and "$" not in item  # most are
                result[key] = item if plain else self.walk(item, below, (*path, key))
            return result
        if isinstance(value, list):
            below = tree.step(places, "[]") if places else places
            return [self.walk(item, below, (*path, "[]")) for item in value]
        return value

    def _text(self, text: str, cast: Callable[[str], Any] | None, path: tree.Path) -> Any:
        if "$" in text:
            try:
                text = substitute(text, self._lookup, self._warn)
            except InvalidTemplate as error:
                raise PathError(
                    f"invalid interpolation format for {tree.dotted(path)}.\n"
                    f"You may need to escape any $ with another $.\n{error.message}", path
                ) from None  # fmt: skip
            except Invalid as error:
                raise PathError(f"error while interpolating {tree.dotted(path)}: {error.message}", path) from None
        if cast is None:
            return text
        try:
            value = cast(text)
        except Invalid as error:
            raise PathError(
                f"error while interpolating {tree.dotted(path)}: failed to cast to expected type: {error.message}", path
            ) from None
        if cast is to_bool and (said := bool_warning(text)):
            self._warn(said)
        return value


class PathError(Invalid):
    """Something is wrong at a path of the file that is being read."""

    def __init__(self, message: str, path: tree.Path) -> None:
        super().__init__(message)
        self.path = path
