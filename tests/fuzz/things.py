"""What the engine of a fuzz run has: things whose ids a request may name."""

import contextlib
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.support.footprint import processes
from tests.support.wharfd import Wharfd
from tests.system.api.raw import Client

HELPERS = ("wharfd", "wharf-launcher", "wharf-netd")


class Things:
    """Containers, images, volumes and networks of one engine, made again when requests have removed them."""

    def __init__(self, daemon: Wharfd, chance: random.Random) -> None:
        self.chance = chance
        self._daemon = daemon
        self._api = Client(daemon.socket)
        self._ids: dict[str, Sequence[str]] = {}

    def ids(self) -> dict[str, Sequence[str]]:
        """First part of a path -> ids and names."""
        return self._ids

    def make(self) -> None:
        """A running and an ended container, an exec, an image, a volume, a network."""
        if self._api.ask("GET", "/images/busybox/json").status != 200:
            self._daemon.load_busybox()
        for name, command in (("runs", ["sleep", "10000"]), ("ended", ["true"])):
            self._api.create({"Cmd": command}, name)
            self._api.ask("POST", f"/containers/{name}/start")
        self._execute()
        made = self._api.ask("POST", "/containers/runs/exec", {"Cmd": ["true"]})
        execs = [str(made.json()["Id"])] if made.status == 201 else []
        self._api.ask("POST", "/volumes/create", {"Name": "kept"})
        self._api.ask("POST", "/networks/create", {"Name": "kept"})
        self._ids = {
            "containers": ["runs", "ended"],
            "images": ["busybox", "busybox:latest"],
            "exec": execs,
            "volumes": ["kept"],
            "networks": ["kept", "bridge", "none"],
            "distribution": ["busybox"],
        }

    def _execute(self) -> None:
        """One exec to its end: the engine then has the next one's monitor waiting, whatever the last request left."""
        made = self._api.ask("POST", "/containers/runs/exec", {"Cmd": ["true"], "AttachStdout": True})
        if made.status == 201:
            self._api.ask("POST", f"/exec/{made.json()['Id']}/start", {"Detach": True})

    def renew(self) -> None:
        """Remove what the requests have made, and make again what they have removed."""
        self.clear()
        self.make()

    def clear(self) -> None:
        """Nothing but the image."""
        for item in self._list("/containers/json?all=1"):
            self._api.ask("POST", f"/containers/{item['Id']}/unpause")
            self._api.ask("DELETE", f"/containers/{item['Id']}?force=1&v=1")
        for item in self._list("/networks"):
            self._api.ask("DELETE", f"/networks/{item['Id']}")
        found = self._api.ask("GET", "/volumes").json()
        for item in (found.get("Volumes") or []) if isinstance(found, dict) else []:
            self._api.ask("DELETE", f"/volumes/{item['Name']}?force=1")
        for item in self._list("/images/json"):
            for tag in item.get("RepoTags") or [item["Id"]]:
                if tag != "busybox:latest":
                    self._api.ask("DELETE", f"/images/{tag}?force=1")
        self._api.ask("POST", "/build/prune?all=1")  # kept contexts with them

    def _list(self, path: str) -> list[dict[str, str]]:
        answer = self._api.ask("GET", path)
        found = json.loads(answer.body) if answer.status == 200 else []
        return found if isinstance(found, list) else []

    def sizes(self) -> dict[str, int]:
        """Descriptors and memory in kB (proportional set size) of each helper."""
        found: dict[str, int] = {}
        for pid in processes(self._daemon):
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                if name in HELPERS:
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                    found[f"{name} descriptors"] = len(os.listdir(f"/proc/{pid}/fd"))
                    found[f"{name} kB"] = next(
                        int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
                    )
        return found
