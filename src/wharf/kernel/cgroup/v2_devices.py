"""Device rules of cgroup v2: a BPF_PROG_TYPE_CGROUP_DEVICE program made of the OCI rules and attached to the cgroup."""

import ctypes
import os
import struct
from typing import Any

from wharf.kernel.libc import check, syscall

_SYS_BPF = 280 if os.uname().machine in ("aarch64", "arm64") else 321
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 2
_LETTERS = {"m": 1, "r": 2, "w": 4}
_KINDS = {"b": 1, "c": 2}


def _insn(code: int, registers: int, offset: int, value: int) -> bytes:
    return struct.pack("<BBhi", code, registers, offset, value)


def _rule(rule: dict[str, Any]) -> list[bytes]:
    """One rule: r2 type, r3 access, r4 major, r5 minor; a miss jumps over the rest."""
    tests: list[bytes] = []
    kind = rule.get("type") or "a"
    if kind in _KINDS:
        tests.append(_insn(0x55, 0x02, 0, _KINDS[kind]))  # jne r2, kind
    access = sum(_LETTERS[letter] for letter in rule.get("access") or "rwm" if letter in _LETTERS)
    if access != 7:
        tests.append(_insn(0xBC, 0x31, 0, 0))  # w1 = w3
        tests.append(_insn(0x54, 0x01, 0, access))  # w1 &= access
        tests.append(_insn(0x5D, 0x31, 0, 0))  # jne r1, r3
    for register, key in ((4, "major"), (5, "minor")):
        value = rule.get(key)
        if kind != "a" and value is not None and value >= 0:
            tests.append(_insn(0x55, register, 0, value))
    end = [_insn(0xB4, 0x00, 0, 1 if rule.get("allow") else 0), _insn(0x95, 0, 0, 0)]
    out: list[bytes] = []
    for index, test in enumerate(tests):
        if test[0] in (0x55, 0x5D):
            over = len(tests) - index - 1 + len(end)
            test = test[:2] + struct.pack("<h", over) + test[4:]
        out.append(test)
    return out + end


def program(rules: list[dict[str, Any]]) -> bytes:
    """The program: the last rule that matches decides, so rules are tested backwards; nothing matched denies."""
    code = [
        _insn(0x61, 0x12, 0, 0),  # r2 = ctx->access_type
        _insn(0xBC, 0x23, 0, 0),  # w3 = w2
        _insn(0x54, 0x02, 0, 0xFFFF),  # w2 &= 0xffff: type
        _insn(0x74, 0x03, 0, 16),  # w3 >>= 16: access
        _insn(0x61, 0x14, 4, 0),  # r4 = ctx->major
        _insn(0x61, 0x15, 8, 0),  # r5 = ctx->minor
    ]
    for rule in reversed(rules):
        code += _rule(rule)
        if (rule.get("type") or "a") == "a":
            break
    else:
        code += [_insn(0xB4, 0x00, 0, 0), _insn(0x95, 0, 0, 0)]
    return b"".join(code)


def _bpf(command: int, attributes: bytes, what: str, path: str) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = syscall(_SYS_BPF, ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes)))
    return check(result, what, path)


def allow_devices(directory: str, rules: list[dict[str, Any]]) -> None:
    """Load the program of `rules` and attach it to the cgroup at `directory`."""
    code = program(rules)
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    load = struct.pack(
        "<IIQQIIQII",
        _PROG_TYPE_CGROUP_DEVICE,
        len(code) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        0,
        0,
        0,
        0,
        0,
    )
    loaded = _bpf(_PROG_LOAD, load, "load the device program", directory)
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attach = struct.pack("<IIII", cgroup, loaded, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
            _bpf(_PROG_ATTACH, attach, "attach the device program", directory)
        finally:
            os.close(cgroup)
    finally:
        os.close(loaded)
