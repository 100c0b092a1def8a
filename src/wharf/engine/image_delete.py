"""Delete an image, or a name of it: moby's rules and words (daemon/images/image_delete.go)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.image_events import publish_image_event
from wharf.engine.image_mounts import uses_image
from wharf.engine.image_platform import delete_platforms, of_platform, target_of
from wharf.engine.image_use import forget_use
from wharf.errors import Conflict, Invalid
from wharf.spec.container import ContainerRecord
from wharf.spec.digest import Digest
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import DeleteItem
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


class ImageConflict(Conflict):
    """Why an image cannot go. `used`: a container or another image stands on it."""

    def __init__(self, image: ImageRecord, reason: str, *, hard: bool, used: bool = False) -> None:
        force = "cannot be forced" if hard else "must be forced"
        super().__init__(f"conflict: unable to delete {image.id.hex[:12]} ({force}) - {reason}")
        self.used = used


def delete_image(
    engine: Engine,
    name: str,
    *,
    force: bool = False,
    noprune: bool = False,
    platforms: Sequence[Platform] = (),
    seen: ImageRecord | None = None,
) -> list[DeleteItem]:
    """Take a name away, and with the last one the image, its layers and (unless `noprune`) unnamed parents.

    With `platforms` only these go from an index that is kept whole; of any other image one may say which it is.
    `seen`: the image that `name` stood for when it was chosen; it stays where that is no longer so, or where it had no
    name and has one now. Raises NotFound, Invalid for a malformed name, Conflict while containers or other images need
    it, or it is not as it was seen.
    """
    with engine.images.delete_lock:
        image = engine.images.resolve(name)
        if seen and (image.id != seen.id or (image.names and not seen.names)):
            raise Conflict(f"conflict: {name} was named anew meanwhile")
        if platforms and engine.images.is_whole(target_of(engine, name, image).digest):
            return delete_platforms(engine, name, image, platforms, force=force)
        if len(platforms) > 1:
            raise Invalid("multiple platforms are not supported")
        for platform in platforms:
            of_platform(engine, name, image, platform)
        return _Deletion(engine, force, prune=not noprune).run(image, name)


def is_id_prefix(image_id: Digest, text: str) -> bool:
    """Whether the client meant the image by its id."""
    return str(image_id).startswith(text) or image_id.hex.startswith(text)


class _Deletion:
    """One request; `items` tells what happened, in order."""

    def __init__(self, engine: Engine, force: bool, prune: bool) -> None:
        self._engine = engine
        self._force = force
        self._prune = prune
        self.items: list[DeleteItem] = []

    def run(self, image: ImageRecord, name: str) -> list[DeleteItem]:
        by_name = not is_id_prefix(image.id, name)
        if by_name:
            image = self._untag(image, name)
            if image.names:
                return self.items
        elif _is_single(image.names):
            # Names do not stand in the way here: they all go with it.
            self._check(image, self._force, names_count=False)
            for reference in image.names:
                self._announce(image, reference)
            image = replace(image, names=())
        self._delete(image, self._force, quiet=by_name)
        return self.items

    def _untag(self, image: ImageRecord, name: str) -> ImageRecord:
        if not self._force and _is_single(image.names):
            user = next((user for user in self._engine.containers.all() if uses_image(user, str(image.id))), None)
            if user:
                raise Conflict(
                    f'conflict: unable to remove repository reference "{name}" (must force) - container '
                    f"{user.id[:12]} is using its referenced image {image.id.hex[:12]}"
                )
        reference = Reference.parse(name).with_default_tag()
        if reference.digest:
            reference = replace(reference, tag=None)
        left = [item for item in image.names if item != reference]
        gone = [reference]
        if not reference.digest and not any(item.tag and item.name == reference.name for item in left):
            gone += [item for item in left if item.name == reference.name]
            left = [item for item in left if item.name != reference.name]
        rest = replace(image, names=tuple(left))
        # The last name goes together with the image, in one write: a crash leaves both or neither.
        if left or not self._may_go(rest):
            for item in gone:
                self._engine.images.untag(item)
        for item in gone:
            self._announce(image, item)
        return rest

    def _may_go(self, image: ImageRecord) -> bool:
        try:
            self._check(image, self._force)
        except ImageConflict:
            return False
        return True

    def _announce(self, image: ImageRecord, reference: Reference) -> None:
        self.items.append(DeleteItem(untagged=reference.familiar()))
        publish_image_event(self._engine, "untag", image)

    def _delete(self, image: ImageRecord, force: bool, *, quiet: bool) -> None:
        try:
            self._check(image, force)
        except ImageConflict as conflict:
            # After a name was taken away, what still holds the image is no error.
            if quiet and (image.names or conflict.used):
                return
            raise
        for reference in image.names:
            self._announce(image, reference)
        before = set(self._engine.images.snapshots.chain_ids())
        self._engine.images.remove(image)
        forget_use(self._engine, str(image.id))
        publish_image_event(self._engine, "delete", image, labels=False)
        self.items.append(DeleteItem(deleted=str(image.id)))
        gone = before - set(self._engine.images.snapshots.chain_ids())
        self.items += [DeleteItem(deleted=str(item)) for item in reversed(image.chain) if item in gone]
        parent = self._engine.images.get(image.parent) if image.parent else None
        if self._prune and parent is not None and not parent.names:
            self._delete(parent, False, quiet=True)

    def _check(self, image: ImageRecord, force: bool, *, names_count: bool = True) -> None:
        if any(other.parent == image.id for other in self._engine.images.all()):
            raise ImageConflict(image, "image has dependent child images", hard=True, used=True)
        users = self._users(image)
        running = next((user for user in users if user.state.running), None)
        if running:
            reason = f"image is being used by running container {running.id[:12]}"
            raise ImageConflict(image, reason, hard=True, used=True)
        if force:
            return
        if names_count and image.names:
            raise ImageConflict(image, "image is referenced in multiple repositories", hard=False)
        if users:
            reason = f"image is being used by stopped container {users[0].id[:12]}"
            raise ImageConflict(image, reason, hard=False, used=True)

    def _users(self, image: ImageRecord) -> list[ContainerRecord]:
        return [record for record in self._engine.containers.all() if record.image_id == str(image.id)]


def _is_single(names: tuple[Reference, ...]) -> bool:
    """At most one tag, and every digest name in the same repository."""
    if len(names) <= 1:
        return True
    tags = [name for name in names if not name.digest]
    repositories = {name.name for name in names if name.digest}
    if len(tags) > 1:
        return False
    return len(repositories) == 1 and (not tags or tags[0].name in repositories)
