"""From a seccomp profile (Docker's JSON, or OCI's `linux.seccomp`) to BPF, by libseccomp (seccomp(3)).

Beyond libseccomp: a system call newer than what it knows answers ENOSYS instead of the profile's errno, as runc
does it, so that C libraries fall back to the older call.
"""

import ctypes
import os
import struct
from typing import Any

from wharf.errors import Invalid, Unavailable

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
"""Actions that return an errno, or a number for the tracer."""
COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
"""Words of a profile; the command tells them as what it supports."""
ARCHITECTURES = frozenset(
    f"SCMP_ARCH_{name}"
    for name in (
        *("X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64"),
        *("MIPSEL64N32", "PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64"),
        *("LOONGARCH64", "M68K", "SH", "SHEB"),
    )
)
"""What config-linux.md#seccomp lists."""
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "riscv64": "SCMP_ARCH_RISCV64"}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_SHORT = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
_NEW_CALLS = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
}
"""Younger than the libseccomp of Debian bookworm; the same numbers on every architecture."""
_ATTR_OPTIMIZE, _ATTR_NNP, _BINARY_TREE = 8, 3, 2
_EEXIST, _ENOSYS, _EPERM = 17, 38, 1
_X32_BIT = 0x40000000


class _Argument(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def _library() -> Any:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise Unavailable(f"seccomp filters need libseccomp.so.2: {error}") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library


def _action(rule: dict[str, Any], key: str, errno_key: str) -> int:
    name = rule.get(key)
    if name not in ACTIONS:
        raise Invalid(f"invalid seccomp profile: action {name!r} is not known")
    value = rule.get(errno_key)
    return ACTIONS[name] | ((_EPERM if value is None else int(value)) & 0xFFFF if name in WITH_VALUE else 0)


def _release(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = "".join(character if character.isdigit() else " " for character in rest).split()
    return int(major) if major.isdigit() else 0, int(minor[0]) if minor else 0


def selected(rule: dict[str, Any], caps: frozenset[str], machine: str, kernel_release: str) -> bool:
    """Whether Docker's `includes` and `excludes` choose a rule for this bounding set, machine and kernel."""
    short = _SHORT.get(machine, machine)
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if excludes.get("arches") and short in excludes["arches"]:
        return False
    if any(cap in caps for cap in excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and _release(kernel_release) >= _release(excludes["minKernel"]):
        return False
    if includes.get("arches") and short not in includes["arches"]:
        return False
    if not all(cap in caps for cap in includes.get("caps") or ()):
        return False
    return not includes.get("minKernel") or _release(kernel_release) >= _release(includes["minKernel"])


def _arguments(rule: dict[str, Any]) -> list[_Argument]:
    found = []
    for item in rule.get("args") or []:
        if item.get("op") not in COMPARISONS:
            raise Invalid(f"invalid seccomp profile: comparison {item.get('op')!r} is not known")
        value, second = int(item.get("value", 0)), int(item.get("valueTwo", 0))
        found.append(_Argument(int(item.get("index", 0)), COMPARISONS[item["op"]], value, second))
    return found


class _Filter:
    """One libseccomp context, and what it cannot express."""

    def __init__(self, default: int) -> None:
        self._library = _library()
        self._context = self._library.seccomp_init(default)
        if not self._context:
            raise Invalid("invalid seccomp profile: the default action is refused")
        self._default = default
        self.beyond: dict[int, int] = {}
        self._library.seccomp_attr_set(self._context, _ATTR_NNP, 0)
        self._library.seccomp_attr_set(self._context, _ATTR_OPTIMIZE, _BINARY_TREE)

    def add_architecture(self, name: str) -> None:
        token = self._library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
        if token:
            self._library.seccomp_arch_add(self._context, token)

    def add(self, name: str, action: int, arguments: list[_Argument]) -> None:
        if action == self._default:
            return
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            if name in _NEW_CALLS and not arguments:
                self.beyond[_NEW_CALLS[name]] = action
            return
        array = (_Argument * len(arguments))(*arguments)
        result = self._library.seccomp_rule_add_array(self._context, action, number, len(arguments), array)
        if result < 0 and result not in (-_EEXIST, -33):
            raise Invalid(f"invalid seccomp profile: rule for {name}: {os.strerror(-result)}")

    def newest(self) -> int:
        """The highest system call number that libseccomp knows here."""
        probe = self._library.seccomp_syscall_resolve_num_arch
        probe.restype = ctypes.c_void_p
        free = ctypes.CDLL(None).free
        free.argtypes = [ctypes.c_void_p]
        native = self._library.seccomp_arch_native
        native.restype = ctypes.c_uint32
        for number in range(600, 300, -1):
            name = probe(native(), number)
            if name:
                free(name)
                return number
        return 0

    def export(self) -> bytes:
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            result = self._library.seccomp_export_bpf(self._context, fd)
            if result < 0:
                raise Invalid(f"invalid seccomp profile: {os.strerror(-result)}")
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)
            self._library.seccomp_release(self._context)


def compile_profile(profile: dict[str, Any], caps: frozenset[str], machine: str, kernel_release: str) -> bytes:
    """The BPF program of `profile` for a bounding set (CAP_ names); raises Invalid naming what is wrong."""
    default = _action(profile, "defaultAction", "defaultErrnoRet")
    built = _Filter(default)
    for name in profile.get("architectures") or ():
        built.add_architecture(name)
    for entry in profile.get("archMap") or ():
        if entry.get("architecture") == _ARCHITECTURES.get(machine):
            for name in entry.get("subArchitectures") or ():
                built.add_architecture(name)
    for rule in profile.get("syscalls") or ():
        if not selected(rule, caps, machine, kernel_release):
            continue
        action, arguments = _action(rule, "action", "errnoRet"), _arguments(rule)
        for name in [*(rule.get("names") or ()), *([rule["name"]] if rule.get("name") else ())]:
            built.add(name, action, arguments)
    newest = built.newest()
    program = built.export()
    is_errno = default & 0xFFFF0000 == ACTIONS["SCMP_ACT_ERRNO"] and machine in _AUDIT
    return _newer_calls(built.beyond, newest, _AUDIT[machine]) + program if is_errno else program


def oci_rules(profile: dict[str, Any], caps: frozenset[str], machine: str, kernel_release: str) -> dict[str, Any]:
    """The profile as `linux.seccomp` of the OCI runtime specification, for a runtime that compiles it itself."""
    names = list(profile.get("architectures") or ())
    for entry in profile.get("archMap") or ():
        if entry.get("architecture") == _ARCHITECTURES.get(machine):
            names += [entry["architecture"], *(entry.get("subArchitectures") or ())]
    rules = []
    for rule in profile.get("syscalls") or ():
        if selected(rule, caps, machine, kernel_release):
            called = [*(rule.get("names") or ()), *([rule["name"]] if rule.get("name") else ())]
            kept = {key: rule[key] for key in ("action", "errnoRet", "args") if rule.get(key) is not None}
            rules.append({"names": called, **kept})
    kept = {key: profile[key] for key in ("defaultAction", "defaultErrnoRet", "flags") if profile.get(key) is not None}
    return {**kept, "architectures": names, "syscalls": rules}


def _newer_calls(beyond: dict[int, int], newest: int, audit: int) -> bytes:
    """Before the filter: for the native architecture, decide the calls that libseccomp does not know."""
    code = [(0x06, 0, 0, ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS)]  # return ENOSYS
    for number, action in sorted(beyond.items(), reverse=True):
        code[:0] = [(0x15, 0, 1, number), (0x06, 0, 0, action)]  # if nr == number: return action
    over = len(code)
    code[:0] = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 0, over + 3, audit),  # another one: go on with the filter
        (0x20, 0, 0, 0),  # load the number
        (0x35, over + 1, 0, _X32_BIT),  # x32: go on with the filter
        (0x25, 0, over, newest),  # not newer: go on with the filter
    ]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
