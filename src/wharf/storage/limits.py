"""Bounds on what comes from outside. Each has a name, is reported with the refusal, and can be set by a flag."""

import errno
from dataclasses import dataclass

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a write says that finds no room."""
MAX_RATIO = 128
"""Uncompressed bytes per compressed byte, beyond RATIO_FLOOR. (deflate itself cannot pass 1032.)"""
RATIO_FLOOR = 1 << 30
"""Uncompressed bytes that are allowed whatever the ratio."""
MIN_FREE = 0.05
"""Share of the file system that unpacking leaves free."""
MAX_ENTRIES = 1_000_000
"""Entries of one layer."""
MAX_PAX_SIZE = 1 << 20
"""Bytes of one extended header or long name."""
MAX_PATH = 4095
"""Bytes of a path (PATH_MAX less its NUL)."""
MAX_BLOB_SIZE = 1 << 40
"""Bytes of one blob when the caller knows no better."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds in force; the fields are the constants above."""

    max_ratio: int = MAX_RATIO
    ratio_floor: int = RATIO_FLOOR
    min_free: float = MIN_FREE
    max_entries: int = MAX_ENTRIES
