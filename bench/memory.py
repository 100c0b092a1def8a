"""Private memory of processes (proc(5), smaps_rollup), in bytes."""

import os
from pathlib import Path


def private(pid: int) -> int:
    """Private_Clean + Private_Dirty of one process; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def resident(pid: int) -> int:
    """Proportional set size of one process: shared pages counted by share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def network_mates(pid: int) -> list[int]:
    """Every process that shares the network namespace of `pid`: a daemon and the helpers it made, however orphaned."""
    wanted = os.stat(f"/proc/{pid}/ns/net").st_ino
    mates = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}/ns/net").st_ino == wanted:
                    mates.append(int(entry))
            except OSError:
                continue
    return mates
