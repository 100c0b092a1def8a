"""Installing a seccomp filter (seccomp(2))."""

import ctypes

from wharf.kernel.libc import SYS_SECCOMP, check, syscall

_SET_MODE_FILTER = 1
INSTRUCTION = 8  # bytes


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(program: bytes) -> None:
    """Install a BPF program on the calling thread; needs CAP_SYS_ADMIN or no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // INSTRUCTION, ctypes.addressof(buffer))
    result = syscall(SYS_SECCOMP, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(0), ctypes.byref(header))
    check(result, "seccomp")
