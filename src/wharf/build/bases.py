"""Base images of one build: those that are here, those of registries, those that a lock file names.

Of an image that is not here only the configuration is asked for: its layers come when a step needs them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wharf.build.absent import AbsentImage
from wharf.build.layouts import layout_image
from wharf.build.lock import SourceLock
from wharf.build.options import BaseImage
from wharf.build.request import BuildRequest
from wharf.engine.pull import find_or_look, pull_looked_up
from wharf.errors import Invalid, WharfError
from wharf.spec.digest import Digest
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.transfer.look import Looked


@dataclass(frozen=True, slots=True)
class Bases:
    """The lowering's Resolver; `found` are the ids of all that it found, `absent` those that are not here, by id."""

    engine: Engine
    request: BuildRequest
    lock: SourceLock
    absent: dict[str, AbsentImage] = field(default_factory=dict)
    found: dict[tuple[str, Platform], str] = field(default_factory=dict)

    def image(self, reference: str, platform: Platform) -> BaseImage:
        """The image of a name. Raises NotFound, Invalid, what a registry says."""
        base = self._image(reference, platform)
        self.found[reference, platform] = base.image_id
        return base

    def _image(self, reference: str, platform: Platform) -> BaseImage:
        if reference in self.request.layouts:
            base, absent = layout_image(self.engine, reference, self.request.layouts[reference], platform)
            self.absent.setdefault(base.image_id, absent)
            return base
        shown = reference
        with contextlib.suppress(Invalid):
            shown = Reference.parse(reference).with_default_tag().canonical()
        name = f"image {shown} {platform}"
        found = self._locked(self.lock.expected(name), reference, platform) or self._found(reference, platform)
        if isinstance(found, ImageRecord):
            self.lock.take(name, " ".join((str(found.id), *self._manifest(found, shown))))
            return BaseImage(shown, str(found.id), found.image)
        self.lock.take(name, f"{found.image_id} {found.digest}")
        self.absent.setdefault(
            str(found.image_id), AbsentImage(found.layers, found.image.diff_ids, self._puller(found, platform))
        )
        return BaseImage(shown, str(found.image_id), found.image)

    def _found(self, reference: str, platform: Platform, *, pull: bool | None = None) -> ImageRecord | Looked:
        always = self.request.pull if pull is None else pull
        return find_or_look(self.engine, reference, platform, self.request.logins, self.request.told, always=always)

    def _puller(self, looked: Looked, platform: Platform) -> Callable[[], None]:
        return lambda: pull_looked_up(self.engine, looked, platform, self.request.logins, self.request.told)

    def _locked(self, expected: str, reference: str, platform: Platform) -> ImageRecord | Looked | None:
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
