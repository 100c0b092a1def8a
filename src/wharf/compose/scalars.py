"""Plain YAML scalars as go.yaml.in/yaml/v3 resolves them (YAML 1.2, with 1.1's numbers), and Go's way to print them.

PyYAML follows YAML 1.1, where `on`, `yes` and `12:30` are no strings; Compose files are written for Go's reading.
"""

from __future__ import annotations

import re
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_WORDS: dict[str, Any] = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"),
    "+.inf": float("inf"), "+.Inf": float("inf"), "+.INF": float("inf"),
    "-.inf": float("-inf"), "-.Inf": float("-inf"), "-.INF": float("-inf"),
}  # fmt: skip
_FIRST_OF_NUMBER = frozenset("+-.0123456789")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]+|0|[1-9][0-9]*)")
_INT64 = 1 << 63


def resolve_scalar(text: str) -> Any:
    """The value of a plain scalar: None, bool, int, float or the text itself."""
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST_OF_NUMBER:
        return text
    plain = text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found:
        value = _go_integer(found)
        if -_INT64 <= value < 2 * _INT64:
            return value
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text


def _go_integer(found: re.Match[str]) -> int:
    """strconv.ParseInt with base 0: `0777` is octal, as are `0o777`, `0x1ff` and `0b1` what they look like."""
    sign, digits = found.groups()
    lower = digits.lower()
    base = {"0x": 16, "0b": 2, "0o": 8}.get(lower[:2], 8 if len(lower) > 1 and lower[0] == "0" else 10)
    value = int(lower[2:] if lower[1:2] in "xbo" and len(lower) > 2 and lower[1].isalpha() else lower, base)
    return -value if sign == "-" else value


def go_print(value: Any) -> str:
    """fmt.Sprint of a YAML value."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, list):
        return "[" + " ".join(go_print(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_print(value[key])}" for key in sorted(value)) + "]"
    return str(value)


def go_float(value: float, bits: int = 64, large: int = 6) -> str:
    """Go's %v of a float: the shortest text, with an exponent from 10^`large` on and below 1e-4."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, exponent = _shortest(repr(value) if bits == 64 else _repr32(value))
    if exponent < -4 or exponent >= large:
        sign = "-" if mantissa.startswith("-") else ""
        number = mantissa.lstrip("-")
        fraction = f".{number[1:]}" if len(number) > 1 else ""
        return f"{sign}{number[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    return _positional(mantissa, exponent)


def _repr32(value: float) -> str:
    """The shortest text that is the same number with 32 bits."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if _as32(float(text)) == _as32(value):
            return text
    return repr(value)


def _as32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _shortest(text: str) -> tuple[str, int]:
    """Digits with their sign, and the decimal exponent of the first digit."""
    sign = "-" if text.startswith("-") else ""
    body, _, power = text.lstrip("-").lower().partition("e")
    whole, _, fraction = body.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = int(power or 0) + len(whole) - 1
    exponent -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    digits = digits.rstrip("0")
    return (sign + digits, exponent) if digits else (sign + "0", 0)


def _positional(mantissa: str, exponent: int) -> str:
    sign = "-" if mantissa.startswith("-") else ""
    digits = mantissa.lstrip("-")
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits + "0" * (exponent + 1 - len(digits))
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
