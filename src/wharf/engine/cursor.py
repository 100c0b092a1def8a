"""How far a log was sent away, kept in a file beside the log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import LogEntry, parse_time


class Cursor:
    """Time of the last entry that was sent, and how many of that time were. `done`: all of the log was sent, or there
    is nothing that says otherwise."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.time, self.count, self.done = "", 0, True
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            self.time, self.count, self.done = str(found["time"]), int(found["count"]), bool(found["done"])
        except (OSError, ValueError, KeyError, TypeError):
            return

    def passed(self, stamp: str) -> None:
        """One more entry, of this time, is sent."""
        self.count = self.count + 1 if stamp == self.time else 1
        self.time = stamp

    def store(self, done: bool) -> None:
        """Write it; losing it to a crash of the machine repeats entries."""
        self.done = done
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                json.dump({"time": self.time, "count": self.count, "done": done}, file)
            os.rename(f"{self._path}.new", self._path)
        except OSError:
            return

    def rest(self, reader: LogReader) -> Iterator[LogEntry]:
        """The history of the log from here on."""
        skip = self.count
        for entry in reader.history(since=parse_time(self.time) if self.time else 0):
            if skip and entry.time == self.time:
                skip -= 1
                continue
            yield entry
