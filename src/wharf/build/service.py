"""The builder of an engine, made with the first build: a daemon that builds nothing does not pay for it."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from wharf.engine.remove import remove_container
from wharf.errors import WharfError

if TYPE_CHECKING:
    from wharf.build.builder import Builder
    from wharf.engine.engine import Engine

STEP_LABEL = "io.wharf.build.step"
"""Containers of builds: one that a crash left is removed at the next start."""
EMPTIED = ("contexts", "unpacked", "steps", "downloads", "places")


class BuildService:
    """Clears what a crash left of builds; gives the builder to those who build."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._builder: Builder | None = None
        root = build_root(engine)
        if os.path.isdir(root):
            for name in EMPTIED:
                engine.trash.discard(os.path.join(root, name))
        for record in engine.containers.all():
            if (record.config.labels or {}).get(STEP_LABEL):
                with contextlib.suppress(WharfError):
                    remove_container(engine, record.id, force=True, volumes=True)

    @property
    def made(self) -> Builder | None:
        """The builder, where something was built already."""
        return self._builder

    def get(self) -> Builder:
        """The builder; the first time it takes a while."""
        with self._lock:
            if self._builder is None:
                from wharf.build.builder import Builder

                self._builder = Builder(self._engine, build_root(self._engine))
            return self._builder

    def close(self) -> None:
        """Wait for the steps that run."""
        if self._builder is not None:
            self._builder.close()


def build_root(engine: Engine) -> str:
    """Where builds have their directories."""
    return os.path.join(engine.config.data_root, "build")
