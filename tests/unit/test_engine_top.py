"""Rows of ps for a container."""

import pytest

from wharf.engine.top import parse_ps
from wharf.errors import Internal

PS = """UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 10:00 ?        00:00:02 /sbin/init
root         812     790  0 10:01 pts/0    00:00:00 sleep   1000  x
"""


def test_the_last_column_keeps_its_spaces() -> None:
    found = parse_ps(PS, {812})
    assert found["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert found["Processes"] == [["root", "812", "790", "0", "10:01", "pts/0", "00:00:00", "sleep   1000  x"]]


def test_a_pid_column_is_needed() -> None:
    with pytest.raises(Internal, match="Couldn't find PID field in ps output"):
        parse_ps("CMD\nsleep\n", {1})
