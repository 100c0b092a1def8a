"""Device rules: the program of v2 run by a small interpreter, the writes of v1 into a model of the kernel's list."""

import struct
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.kernel.cgroup.devices import parse_rules, v1_lines
from wharf.kernel.cgroup.files import LimitRefused
from wharf.kernel.cgroup.v2_devices import program

BITS = {"m": 1, "r": 2, "w": 4}
DENY_ALL = {"allow": False, "access": "rwm"}


def _rule(text: str) -> dict[str, Any]:
    """`+c 10:200 rw` allows, `-` denies."""
    kind, numbers, access = text[1:].split()
    major, minor = (-1 if part == "*" else int(part) for part in numbers.split(":"))
    return {"allow": text[0] == "+", "type": kind, "major": major, "minor": minor, "access": access}


def run(code: bytes, kind: str, major: int, minor: int, access: int) -> bool:
    """What a program of BPF_PROG_TYPE_CGROUP_DEVICE answers; what the verifier refuses fails here."""
    insns = list(struct.iter_unpack("<BBhi", code))
    assert _reachable(insns) == set(range(len(insns)))
    context = {0: access << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    reg = [0] * 10
    at = 0
    while True:
        op, registers, offset, value = insns[at]
        to, source = registers & 15, registers >> 4
        at += 1
        match op:
            case 0x61:
                reg[to] = context[offset]
            case 0xBC:
                reg[to] = reg[source]
            case 0xB4:
                reg[to] = value
            case 0x54:
                reg[to] &= value
            case 0x74:
                reg[to] >>= value
            case 0x55:
                at += offset if reg[to] != value else 0
            case 0x15:
                at += offset if reg[to] == value else 0
            case 0x95:
                return reg[0] == 1
            case _:
                raise AssertionError(f"an instruction that is not known: {op:#x}")


def _reachable(insns: list[tuple[int, ...]]) -> set[int]:
    found, waiting = set[int](), [0]
    while waiting:
        at = waiting.pop()
        assert at < len(insns), "it runs off its end"
        if at in found:
            continue
        found.add(at)
        op, _, offset, _ = insns[at]
        waiting += [] if op == 0x95 else [at + 1]
        waiting += [at + 1 + offset] if op in (0x55, 0x15) else []
    return found


@dataclass
class KernelV1:
    """security/device_cgroup.c: devcgroup_update_access, match_exception and match_exception_partial."""

    allows: bool = True
    exceptions: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def write(self, file: str, text: str) -> None:
        allow = file == "devices.allow"
        if text == "a":
            self.allows, self.exceptions = allow, {}
            return
        kind, numbers, letters = text.split()
        major, minor = numbers.split(":")
        mask = sum(BITS[letter] for letter in letters)
        before = self.exceptions.pop((kind, major, minor), 0)
        after = before & ~mask if allow == self.allows else before | mask
        if after:
            self.exceptions[kind, major, minor] = after

    def check(self, kind: str, major: int, minor: int, access: int) -> bool:
        masks = [
            mask
            for (k, a, b), mask in self.exceptions.items()
            if k == kind and a in ("*", str(major)) and b in ("*", str(minor))
        ]
        return not any(access & mask for mask in masks) if self.allows else any(not access & ~mask for mask in masks)


def by_letter(rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: int) -> bool:
    """What the specification says, in the plainest way."""
    allowed = 0
    for rule in rules:
        numbers = ((rule.get("major", -1), major), (rule.get("minor", -1), minor))
        if rule.get("type", "a") in ("a", kind) and all(want in (-1, have) for want, have in numbers):
            mask = sum(BITS[letter] for letter in rule["access"])
            allowed = allowed | mask if rule["allow"] else allowed & ~mask
    return not access & ~allowed


ACCESSES = list(product("bc", (1, 2, 3), (1, 2, 3), range(1, 8)))
_access = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda letters: "".join(sorted(letters)))
# No rule for one minor of every major: it overlaps with others, yet neither covers them nor is covered.
_numbers = st.tuples(st.sampled_from([-1, 1, 2]), st.sampled_from([-1, 1, 2])).map(
    lambda pair: {"major": pair[0], "minor": pair[1] if pair[0] != -1 else -1}
)
_rules = st.lists(
    st.builds(
        lambda allow, kind, numbers, access: {"allow": allow, "type": kind, "access": access, **numbers},
        st.booleans(),
        st.sampled_from("abccc"),
        _numbers,
        _access,
    ),
    max_size=8,
)


@given(_rules, st.booleans())
def test_both_worlds_do_what_the_list_says(rules: list[dict[str, Any]], deny_first: bool) -> None:
    rules = [DENY_ALL, *rules] if deny_first or not rules else rules
    code = program(parse_rules(rules))
    wanted = [by_letter(rules, *access) for access in ACCESSES]
    assert [run(code, *access) for access in ACCESSES] == wanted
    kernel = KernelV1()
    try:
        lines = v1_lines(parse_rules(rules))
    except LimitRefused:
        return
    for line in lines:
        kernel.write(*line)
    assert [kernel.check(*access) for access in ACCESSES] == wanted


@pytest.mark.parametrize(
    ("rules", "allowed", "denied"),
    [
        (["+c 10:200 rwm", "-c 10:200 w"], ["r", "m", "rm"], ["w", "rw"]),
        (["+c 10:200 r", "+c 10:200 w"], ["r", "w", "rw"], ["m", "rwm"]),
        (["+c 10:200 r", "+c 10:* w"], ["r", "w", "rw"], ["m"]),
        (["-c 10:200 w", "+c 10:200 w"], ["w"], ["r"]),
        (["+a *:* r"], ["r"], ["w", "rw"]),
        (["+c 10:200 rwm", "-a *:* m"], ["rw"], ["m"]),
        (["+a *:* rwm", "-c 10:200 w"], ["r", "rm"], ["w", "rw"]),
        (["+c 10:200 rw", "-c 10:* w"], ["r"], ["rw"]),
    ],
)
def test_rules_of_one_device_are_merged_letter_by_letter(
    rules: list[str], allowed: list[str], denied: list[str]
) -> None:
    parsed = parse_rules([DENY_ALL, *map(_rule, rules)])
    code, kernel = program(parsed), KernelV1()
    for line in v1_lines(parsed):
        kernel.write(*line)
    for words, wanted in ((allowed, True), (denied, False)):
        for word in words:
            mask = sum(BITS[letter] for letter in word)
            assert (run(code, "c", 10, 200, mask), kernel.check("c", 10, 200, mask)) == (wanted, wanted), word


@pytest.mark.parametrize("rules", [["+c *:* m", "-c 10:229 rwm"], ["+a *:* rwm", "-b 8:* w", "+b 8:1 w"]])
def test_v1_refuses_what_its_kernel_would_be_silent_about(rules: list[str]) -> None:
    with pytest.raises(LimitRefused, match=r"cannot punch hole in existing wildcard rule \[[bc] (\*|8):\*\]"):
        v1_lines(parse_rules([DENY_ALL, *map(_rule, rules)]))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"type": "p", "access": "r"}, "invalid cgroup device type 'p'"),
        ({"access": "rx"}, "invalid device access 'rx'"),
        ({"access": 7}, "a property has the wrong type"),
        ({"type": "c", "major": "1"}, "a property has the wrong type"),
        ({"type": "c", "major": 1 << 31}, "device number 2147483648 is out of range"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(LimitRefused, match=words):
        parse_rules([rule])
