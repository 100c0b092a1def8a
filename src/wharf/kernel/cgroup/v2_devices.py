"""Device rules of cgroup v2: a BPF_PROG_TYPE_CGROUP_DEVICE program made of the rules and attached to the cgroup."""

import ctypes
import os
import struct

from wharf.kernel.cgroup.devices import ALL, DeviceRule
from wharf.kernel.libc import check, syscall

_SYS_BPF = 280 if os.uname().machine in ("aarch64", "arm64") else 321
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 2
_KINDS = {"b": 1, "c": 2}


def _insn(code: int, registers: int, offset: int, value: int) -> bytes:
    return struct.pack("<BBhi", code, registers, offset, value)


def _answer(allowed: bool) -> list[bytes]:
    return [_insn(0xB4, 0x00, 0, int(allowed)), _insn(0x95, 0, 0, 0)]  # w0 = allowed; exit


def _rule(rule: DeviceRule) -> bytes:
    """One rule: r2 kind, r3 the letters that nobody has allowed yet, r4 major, r5 minor; a miss jumps over the rest."""
    tests = [(0x55, register, value) for register, value in ((4, rule.major), (5, rule.minor)) if value is not None]
    if rule.kind:
        tests.insert(0, (0x55, 2, _KINDS[rule.kind]))  # jne
    rest: list[bytes] = []
    if rule.access != ALL:
        if rule.allow:
            rest = [_insn(0x54, 3, 0, ALL & ~rule.access), _insn(0x55, 3, 2, 0)]  # w3 &= others; jne r3, 0
        else:
            rest = [_insn(0xBC, 0x31, 0, 0), _insn(0x54, 1, 0, rule.access), _insn(0x15, 1, 2, 0)]  # w1 = w3 & its; jeq
    rest += _answer(rule.allow)
    count = len(tests) + len(rest)
    return b"".join([*(_insn(code, reg, count - at - 1, value) for at, (code, reg, value) in enumerate(tests)), *rest])


def program(rules: list[DeviceRule]) -> bytes:
    """The program. The last rule that speaks of a letter decides about it, so rules are gone through backwards: one
    that denies a letter which is asked for ends it, and so does the one that allows the last of them."""
    code = [
        _insn(0x61, 0x12, 0, 0),  # r2 = ctx->access_type
        _insn(0xBC, 0x23, 0, 0),  # w3 = w2
        _insn(0x54, 0x02, 0, 0xFFFF),  # w2 &= 0xffff: type
        _insn(0x74, 0x03, 0, 16),  # w3 >>= 16: access
        _insn(0x61, 0x14, 4, 0),  # r4 = ctx->major
        _insn(0x61, 0x15, 8, 0),  # r5 = ctx->minor
    ]
    for rule in reversed(rules):
        code.append(_rule(rule))
        if rule.everything:  # the verifier takes no instruction that is never reached
            return b"".join(code)
    return b"".join(code + _answer(False))


def _bpf(command: int, attributes: bytes, what: str, path: str) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = syscall(_SYS_BPF, ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes)))
    return check(result, what, path)


def allow_devices(directory: str, rules: list[DeviceRule]) -> None:
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
