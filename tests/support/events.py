"""Waiting for events of a daemon, by the docker command line."""

import json
import queue
import subprocess
import threading
import time
from types import TracebackType
from typing import Any

from tests.support.wharfd import Wharfd, docker_client

PATIENCE = 30.0


class Events:
    """`with Events(daemon, "event=die") as events`: those since it was entered; `next` waits for one."""

    def __init__(self, daemon: Wharfd, *filters: str) -> None:
        self._daemon, self._filters = daemon, filters
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()

    def __enter__(self) -> "Events":
        words = [word for text in self._filters for word in ("--filter", text)]
        command = [docker_client(), "events", "--since", f"{time.time():.9f}", "--format", "{{json .}}", *words]
        self._process = subprocess.Popen(
            command, env=self._daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._queue.put(json.loads(line))

    def next(self, seconds: float = PATIENCE) -> dict[str, Any]:
        """The next event; AssertionError when none comes in time."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no event within {seconds} s\n{self._daemon.log()}") from None

    def action(self, seconds: float = PATIENCE) -> str:
        """Its action only."""
        return str(self.next(seconds)["Action"])

    def until(self, action: str, seconds: float = PATIENCE) -> list[str]:
        """The actions up to this one."""
        seen = [self.action(seconds)]
        while seen[-1] != action:
            seen.append(self.action(seconds))
        return seen

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        if self._process.stdout:
            self._process.stdout.close()
