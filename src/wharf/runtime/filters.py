"""Seccomp filters: compiled once for each (profile, bounding set, architecture), then read back from disk."""

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from typing import Any

from wharf.kernel.seccomp_compiler import compile_profile, oci_rules
from wharf.spec.host import Host

_FORM = 1  # changes when the compiler's output does


class FilterCache:
    """Programs by digest, in memory and below `directory`."""

    def __init__(self, directory: str, host: Host) -> None:
        self._directory, self._host = directory, host
        self._lock = threading.Lock()
        self._known: dict[str, bytes] = {}
        self._default: dict[str, Any] | None = None

    def get(self, profile: dict[str, Any] | None, capabilities: Iterable[str]) -> bytes:
        """The program; raises Invalid when the profile makes no sense."""
        names = sorted(set(capabilities))
        with self._lock:
            chosen = profile if profile is not None else self._load_default()
            key = self._key("default" if profile is None else profile, names)
            if key not in self._known:
                self._known[key] = self._read(key) or self._compile(key, chosen, names)
            return self._known[key]

    def rules(self, profile: dict[str, Any] | None, capabilities: Iterable[str]) -> dict[str, Any]:
        """The profile as `linux.seccomp` of the OCI specification."""
        with self._lock:
            chosen = profile if profile is not None else self._load_default()
        return oci_rules(chosen, frozenset(capabilities), self._host.machine, self._host.kernel_release)

    def _key(self, profile: Any, names: list[str]) -> str:
        what = [_FORM, profile, names, self._host.machine, self._host.kernel_release]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _load_default(self) -> dict[str, Any]:
        if self._default is None:
            path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seccomp-default.json")
            with open(path) as file:
                self._default = json.load(file)
        return self._default

    def _read(self, key: str) -> bytes | None:
        try:
            with open(f"{self._directory}/{key}.bpf", "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        return data if data and len(data) % 8 == 0 else None

    def _compile(self, key: str, profile: dict[str, Any], names: list[str]) -> bytes:
        program = compile_profile(profile, frozenset(names), self._host.machine, self._host.kernel_release)
        os.makedirs(self._directory, 0o700, exist_ok=True)
        path = f"{self._directory}/{key}.bpf"
        with open(f"{path}.new", "wb") as file:
            file.write(program)
        os.rename(f"{path}.new", path)
        return program
