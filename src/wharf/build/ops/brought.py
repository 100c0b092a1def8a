"""What one running build brought along for its operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wharf.build.absent import AbsentImage
from wharf.build.lock import SourceLock
from wharf.build.request import Agent
from wharf.build.tree import Tree


@dataclass(slots=True)
class Brought:
    """`contexts` are trees of the client's files by the names that the graph uses; `fetched` are directories that go
    when the build ends. `restore_mount` fills a new cache mount (its name, an empty directory) from an imported cache,
    and says whether there was one. `absent`: images that are not here, by their ids."""

    contexts: Mapping[str, Tree] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    lock: SourceLock = field(default_factory=lambda: SourceLock(None))
    restore_mount: Callable[[str, str], bool] = lambda name, path: False
    absent: Mapping[str, AbsentImage] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
