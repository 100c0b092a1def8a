"""The lock file: what the sources of a build were, and a build that takes nothing else.

{"version": 1, "sources": {"image docker.io/library/debian:12 linux/amd64": "sha256:<id> sha256:<manifest>",
                           "http https://host/file": "sha256:<content>",
                           "git https://host/repo.git#ref": "<commit>"}}
"""

import json
import threading
from collections.abc import Mapping

from wharf.errors import Invalid

VERSION = 1
MAX_SOURCES = 10_000
MAX_TEXT = 4096


class SourceLock:
    """The sources of one build. `locked` of None takes everything and remembers what it was."""

    def __init__(self, locked: Mapping[str, str] | None) -> None:
        self._locked = locked
        self._lock = threading.Lock()
        self.taken: dict[str, str] = {}

    def expected(self, name: str) -> str:
        """What a source must be; "" where it may be anything. Raises Invalid for one that the lock does not know."""
        if self._locked is None:
            return ""
        if name not in self._locked:
            raise Invalid(f"the lock file has no {name!r}: build with --lock to add it")
        return self._locked[name]

    def take(self, name: str, found: str) -> None:
        """Remember what a source was. Raises Invalid when it is not what the lock says."""
        expected = self.expected(name)
        if expected and expected.partition(" ")[0] != found.partition(" ")[0]:
            raise Invalid(f"{name} is {found.partition(' ')[0]}, the lock file has {expected.partition(' ')[0]}")
        with self._lock:
            self.taken[name] = found


def parse_lock(text: str) -> dict[str, str]:
    """The sources of a lock file. Raises Invalid."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid lock file: {error}") from None
    if not isinstance(raw, dict) or raw.get("version") != VERSION:
        raise Invalid(f"invalid lock file: version {VERSION} is needed")
    sources = raw.get("sources")
    if not isinstance(sources, dict) or len(sources) > MAX_SOURCES:
        raise Invalid(f"invalid lock file: sources is not a map of at most {MAX_SOURCES}")
    if not all(isinstance(value, str) and len(value) < MAX_TEXT for value in sources.values()):
        raise Invalid("invalid lock file: a source is no text")
    return dict(sources)
