"""Installing a seccomp filter (seccomp(2))."""

import ctypes

from wharf.kernel.libc import SYS_SECCOMP, check, syscall

_SET_MODE_FILTER = 1
INSTRUCTION = 8  # bytes
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}
"""OCI names of the flags that a filter without a listener may have."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(program: bytes, flags: int = 0) -> None:
    """Install a BPF program on the calling thread; needs CAP_SYS_ADMIN or no_new_privs. `flags`: see `FLAGS`."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // INSTRUCTION, ctypes.addressof(buffer))
    result = syscall(SYS_SECCOMP, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(flags), ctypes.byref(header))
    check(result, "seccomp")
