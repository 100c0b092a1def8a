"""How a process is scheduled and what it believes to run on: sched_setattr(2), ioprio_set(2), personality(2)."""

import ctypes
import os
import struct

from wharf.kernel.libc import check, function, syscall

_AARCH64 = os.uname().machine in ("aarch64", "arm64")
_SYS_IOPRIO_SET = 30 if _AARCH64 else 251
_SYS_SCHED_SETATTR = 274 if _AARCH64 else 314
_WHO_PROCESS = 1
_CLASS_SHIFT = 13

PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

_personality = function("personality", ctypes.c_ulong)


def set_personality(domain: int) -> None:
    """personality(2) of the calling process."""
    check(_personality(domain), "personality")


def set_io_priority(io_class: int, priority: int) -> None:
    """ioprio_set(2) of the calling process."""
    value = io_class << _CLASS_SHIFT | priority
    check(syscall(_SYS_IOPRIO_SET, ctypes.c_int(_WHO_PROCESS), ctypes.c_int(0), ctypes.c_int(value)), "ioprio_set")


def set_scheduler(policy: int, flags: int, nice: int, priority: int, deadline: tuple[int, int, int]) -> None:
    """sched_setattr(2) of the calling process; `deadline` is runtime, deadline and period in nanoseconds."""
    attributes = struct.pack("=IIQiIQQQ", 48, policy, flags, nice, priority, *deadline)
    result = syscall(_SYS_SCHED_SETATTR, ctypes.c_int(0), ctypes.c_char_p(attributes), ctypes.c_uint(0))
    check(result, "sched_setattr")
