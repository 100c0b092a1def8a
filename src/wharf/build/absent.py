"""Images that a build knows by their configuration and that are not here: their layers come when a step needs them.

A build whose steps are all in the cache, or that only asks what an image is, fetches no layer.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from wharf.build.tree import Tree
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor


@dataclass(slots=True, eq=False)
class AbsentImage:
    """`bring` fetches and unpacks the layers; raises WharfError. It is called once, whoever asks for them first."""

    layers: tuple[Descriptor, ...]
    diff_ids: tuple[Digest, ...]
    bring: Callable[[], None]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _here: bool = False

    def tree(self) -> Tree:
        """What a stage begins with."""
        return Tree(self.layers, self.diff_ids, fetch=self._fetch)

    def _fetch(self) -> None:
        with self._lock:
            if not self._here:
                self.bring()
                self._here = True
