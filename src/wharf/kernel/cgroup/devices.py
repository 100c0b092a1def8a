"""Device rules of `linux.resources`, in the order in which they are listed (config-linux.md#allowed-device-list).

A rule speaks of some nodes and of some letters: m (mknod), r, w. For each letter the last rule that speaks of it and
of the node decides, and an access is allowed when each of its letters is; what no rule speaks of is denied.

v2 has a program that does just this (`v2_devices`). v1 has a default and a list of exceptions from it: `v1_lines`
merges the rules into those, and refuses what they cannot say, where the kernel would be silent and do nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wharf.kernel.cgroup.files import LimitRefused

MKNOD, READ, WRITE = 1, 2, 4
"""As in BPF_DEVCG_ACC_ of linux/bpf.h."""
ALL = MKNOD | READ | WRITE
_LETTERS = {"r": READ, "w": WRITE, "m": MKNOD}
MAX_NUMBER = (1 << 31) - 1
"""Of a rule's major or minor; the kernel's own have 12 and 20 bits."""
ALL_DEVICES = [("devices.allow", "a")]
"""`v1_lines` of rules that allow everything."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """`kind` is b or c; None stands for every number."""

    kind: str
    major: int | None = None
    minor: int | None = None

    def overlaps(self, other: "Nodes") -> bool:
        """Whether a node can be in both."""
        return self.kind == other.kind and all(
            None in pair or pair[0] == pair[1] for pair in ((self.major, other.major), (self.minor, other.minor))
        )

    def covers(self, other: "Nodes") -> bool:
        """Whether every node of the other is in this one."""
        return self.kind == other.kind and self.major in (None, other.major) and self.minor in (None, other.minor)

    def __str__(self) -> str:
        return f"{self.kind} {_star(self.major)}:{_star(self.minor)}"


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """`kind` is b, c, or "" for both; `access` is a mask of letters, never 0."""

    allow: bool
    kind: str
    major: int | None
    minor: int | None
    access: int

    @property
    def everything(self) -> bool:
        """Whether it speaks of every letter of every node, so that none before it counts."""
        return not self.kind and self.major is None and self.minor is None and self.access == ALL

    def nodes(self) -> list[Nodes]:
        """What it speaks of."""
        return [Nodes(kind, self.major, self.minor) for kind in self.kind or "bc"]


def parse_rules(rules: Iterable[dict[str, Any]]) -> list[DeviceRule]:
    """Of OCI's objects, in their order; raises LimitRefused."""
    try:
        return [_parse(rule) for rule in rules]
    except (AttributeError, TypeError) as error:
        raise LimitRefused(f"linux.resources.devices: a property has the wrong type: {error}") from None


def _parse(rule: dict[str, Any]) -> DeviceRule:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c"):
        raise LimitRefused(f"invalid cgroup device type {str(kind)[:20]!r}")
    access = 0
    for letter in rule.get("access") or "rwm":
        if letter not in _LETTERS:
            raise LimitRefused(f"invalid device access {str(rule['access'])[:20]!r}")
        access |= _LETTERS[letter]
    numbers = (_number(rule.get("major")), _number(rule.get("minor")))
    return DeviceRule(bool(rule.get("allow")), "" if kind == "a" else kind, *numbers, access)


def _number(value: int | None) -> int | None:
    if value is not None and value > MAX_NUMBER:
        raise LimitRefused(f"device number {value} is out of range")
    return None if value is None or value < 0 else value


def v1_lines(rules: list[DeviceRule]) -> list[tuple[str, str]]:
    """File and text of each write (cgroup-v1/devices.rst); none for no rules. Raises LimitRefused in runc's words."""
    if not rules:
        return []
    default, exceptions = _merged(rules)
    files = ("devices.deny", "devices.allow")
    lines = [(files[default], "a")]
    for nodes, access in exceptions.items():
        # The kernel wants one exception that has all letters: each gets those of the wider ones too.
        for other, more in exceptions.items():
            access |= more if other.covers(nodes) else 0
        letters = "".join(letter for letter, bit in _LETTERS.items() if access & bit)
        lines.append((files[not default], f"{nodes} {letters}"))
    return lines


def _merged(rules: list[DeviceRule]) -> tuple[bool, dict[Nodes, int]]:
    """Whether all is allowed by default, and the letters of the nodes where it is the other way round."""
    default, exceptions = False, dict[Nodes, int]()
    for rule in rules:
        if rule.everything:
            default, exceptions = rule.allow, {}
            continue
        for nodes in rule.nodes():
            if rule.allow != default:
                exceptions[nodes] = exceptions.get(nodes, 0) | rule.access
            else:
                exceptions = _without(exceptions, nodes, rule)
    return default, exceptions


def _without(exceptions: dict[Nodes, int], nodes: Nodes, rule: DeviceRule) -> dict[Nodes, int]:
    left: dict[Nodes, int] = {}
    for other, access in exceptions.items():
        if nodes.covers(other):
            access &= ~rule.access
        elif nodes.overlaps(other) and access & rule.access:
            raise LimitRefused(
                f"requested rule [{nodes}] not supported by devices cgroupv1 "
                f"(cannot punch hole in existing wildcard rule [{other}])"
            )
        if access:
            left[other] = access
    return left


def _star(value: int | None) -> str:
    return "*" if value is None else str(value)
