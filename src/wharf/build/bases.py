"""Base images of one build: those that are here, those of registries, those that a lock file names."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.build.lock import SourceLock
from wharf.build.options import BaseImage
from wharf.build.request import BuildRequest
from wharf.engine.pull import find_or_pull
from wharf.errors import Invalid, WharfError
from wharf.spec.digest import Digest
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Bases:
    """The lowering's Resolver."""

    engine: Engine
    request: BuildRequest
    lock: SourceLock

    def image(self, reference: str, platform: Platform) -> BaseImage:
        """The image of a name. Raises NotFound, Invalid, what a pull raises."""
        shown = reference
        with contextlib.suppress(Invalid):
            shown = Reference.parse(reference).with_default_tag().canonical()
        name = f"image {shown} {platform}"
        record = self._locked(self.lock.expected(name), reference, platform) or self._found(reference, platform)
        self.lock.take(name, " ".join((str(record.id), *self._manifest(record, shown))))
        return BaseImage(shown, str(record.id), record.image)

    def _found(self, reference: str, platform: Platform, *, pull: bool | None = None) -> ImageRecord:
        wanted = self.request
        always = wanted.pull if pull is None else pull
        return find_or_pull(self.engine, reference, platform, wanted.logins, wanted.told, always=always)

    def _locked(self, expected: str, reference: str, platform: Platform) -> ImageRecord | None:
        """The image that the lock names, from here or by its digest from its registry; None: look by the name."""
        image_id, _, manifest = expected.partition(" ")
        if not image_id:
            return None
        found = self.engine.images.get(Digest.parse(image_id))
        if found is not None or not manifest:
            return found
        try:
            return self._found(f"{Reference.parse(reference).name}@{manifest}", platform, pull=False)
        except WharfError:
            return None

    def _manifest(self, record: ImageRecord, shown: str) -> list[str]:
        """The digest by which the registry knows it, where it came from one."""
        with contextlib.suppress(Invalid):
            name = Reference.parse(shown).name
            return [str(item.digest) for item in record.names if item.digest and item.name == name][:1]
        return []
