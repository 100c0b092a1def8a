"""Building an image: a context and a Dockerfile become an image with names.

<data root>/build/contexts/<id>/   the client's files of a build that runs
                  caches/<name>/   cache mounts
                  steps/ downloads/ places/   what a running build needs; emptied at start
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from wharf.build.cache import BuildCache
from wharf.build.lower import CONTEXT, Target, lower
from wharf.build.ops.executor import Executor
from wharf.build.ops.files import FileWork
from wharf.build.ops.run import Locks, StepWork
from wharf.build.options import BaseImage, LowerOptions
from wharf.build.service import EMPTIED
from wharf.build.solver.solver import Progress, Solver
from wharf.build.times import text_of
from wharf.build.tree import EMPTY, Tree
from wharf.dockerfile.ignore import read_ignore
from wharf.dockerfile.instructions import Dockerfile
from wharf.dockerfile.parse import parse_dockerfile
from wharf.engine.image_events import publish_image_event
from wharf.engine.pull import find_or_pull
from wharf.errors import Invalid
from wharf.spec.image import MEDIA_CONFIG, Descriptor, Image, Manifest
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin
from wharf.storage.compression import Readable
from wharf.storage.layers.unpack import unpack_files
from wharf.transfer.unpack import put_manifest, unpack

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

WORKERS = 8
"""Steps that run side by side, of all builds together."""
MAX_DOCKERFILE = 16 << 20


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a client asks for. `dockerfile` is a path in the context; `text` is a Dockerfile that came beside it."""

    options: LowerOptions
    dockerfile: str = "Dockerfile"
    text: str | None = None
    names: tuple[Reference, ...] = ()
    secrets: dict[str, bytes] = field(default_factory=dict)
    pull: bool = False
    """Ask the registries for base images that are here as well."""
    logins: Mapping[str, RegistryLogin] = field(default_factory=dict)
    told: Callable[[dict[str, Any]], None] = lambda message: None
    """Hears Docker's messages of a pull."""


@dataclass(frozen=True, slots=True)
class Built:
    """The image, and what the checks found."""

    image: ImageRecord
    target: Target


class Builder:
    """The build service of one engine."""

    def __init__(self, engine: Engine, root: str) -> None:
        self.engine = engine
        self._root = root
        for name in EMPTIED:
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
        os.makedirs(os.path.join(root, "caches"), mode=0o711, exist_ok=True)
        self.cache = BuildCache(engine.database, engine.images)
        files = FileWork(engine, os.path.join(self._root, "places"))
        steps = StepWork(engine, files, self._root, Locks())
        self._executor = Executor(engine, files, steps, os.path.join(self._root, "downloads"))
        self._solver: Solver[Tree] = Solver(self._executor, self.cache, WORKERS)

    def close(self) -> None:
        """Wait for the steps that run."""
        self._solver.close()

    @contextlib.contextmanager
    def context(self, archive: Readable) -> Iterator[str]:
        """The client's files as a directory, gone at the end. Raises Invalid for a bad archive."""
        directory = os.path.join(self._root, "contexts", secrets.token_hex(8))
        os.mkdir(directory, 0o700)
        try:
            unpack_files(self.engine.worker, archive, directory)
            yield directory
        finally:
            self.engine.trash.discard(directory)

    def read(self, directory: str, request: BuildRequest) -> Dockerfile:
        """The Dockerfile of a context, parsed. Raises Invalid."""
        text = request.text
        if text is None:
            text = _read_beneath(directory, request.dockerfile)
        if text is None and request.dockerfile == "Dockerfile":
            text = _read_beneath(directory, "dockerfile")
        if text is None:
            raise Invalid(f"failed to read dockerfile: open {request.dockerfile}: no such file or directory")
        if not text:
            raise Invalid(f"the Dockerfile ({request.dockerfile}) cannot be empty")
        return parse_dockerfile(text)

    def build(
        self,
        directory: str,
        file: Dockerfile,
        request: BuildRequest,
        watch: Callable[[Target], Callable[[Progress], None]],
        cancelled: threading.Event,
    ) -> Built:
        """Build the target and give it its names. `watch` is told what will be done, and gives who hears of it.

        Raises DockerfileError, NotFound, what a step raised.
        """
        build = secrets.token_hex(8)
        ignore = self._ignore(directory, request)
        options = replace(request.options, ignore=ignore, build=build)
        target = lower(file, options, _Images(self.engine, request))
        report = watch(target)
        context = f"{build}:{CONTEXT}"
        self._executor.contexts[context] = Tree(directory=directory, ignore=ignore)
        self._executor.secrets[build] = request.secrets
        try:
            with self.engine.images.operations.operation():
                tree = EMPTY
                if target.vertex is not None:
                    tree = self._solver.solve([target.vertex], report, cancelled)[0].result
                image = self._image(target, tree, request)
        finally:
            del self._executor.contexts[context]
            del self._executor.secrets[build]
        return Built(image, target)

    def _ignore(self, directory: str, request: BuildRequest) -> tuple[str, ...]:
        text = _read_beneath(directory, request.dockerfile + ".dockerignore") if request.text is None else None
        if text is None:
            text = _read_beneath(directory, ".dockerignore")
        return read_ignore(text) if text else ()

    def _image(self, target: Target, tree: Tree, request: BuildRequest) -> ImageRecord:
        store = self.engine.images
        created = text_of(target.epoch)
        base = len(target.base.image.history) if target.base else 0
        history = tuple(
            line if number < base else replace(line, created=created)
            for number, line in enumerate(target.image.history)
        )
        image: Image = replace(target.image, created=created, history=history, diff_ids=tree.diff_ids, extra={})
        sizes = unpack(store, tree.layers, tree.diff_ids)
        config = store.content.put(image.to_bytes(), durable=False)
        descriptor = Descriptor(MEDIA_CONFIG, config.digest, config.size)
        record = ImageRecord(
            id=config.digest,
            image=image,
            manifest=put_manifest(store, Manifest(descriptor, tree.layers)),
            config=descriptor,
            layers=tree.layers,
            layer_sizes=sizes,
            added_at=time.time_ns(),
            last_tagged=time.time_ns() if request.names else 0,
        )
        store.content.sync()
        store.add(record, request.names)
        publish_image_event(self.engine, "create", record)
        for name in request.names:
            publish_image_event(self.engine, "tag", record, name.familiar())
        return replace(record, names=request.names)

    def prune(self, *, everything: bool, until: int = 0) -> tuple[list[str], int]:
        """Forget cached steps that nothing uses (`until`: nanoseconds since 1970); keys and bytes."""
        used = {image.image.diff_ids for image in self.engine.images.all()}

        def wanted(record: object) -> bool:
            from wharf.spec.build_record import BuildRecord

            assert isinstance(record, BuildRecord)
            if until and record.used_at > until:
                return False
            return everything or record.diff_ids not in used

        found, freed = self.cache.prune(wanted)
        if everything:
            freed += self._drop_caches()
        return found, freed

    def _drop_caches(self) -> int:
        from wharf.storage.usage import tree_usage

        freed = 0
        caches = os.path.join(self._root, "caches")
        for name in os.listdir(caches):
            path = os.path.join(caches, name)
            freed += tree_usage(path)
            self.engine.trash.discard(path)
        return freed


@dataclass(frozen=True, slots=True)
class _Images:
    """Finds base images: those that are here, and those of registries."""

    engine: Engine
    request: BuildRequest

    def image(self, reference: str, platform: Platform) -> BaseImage:
        wanted = self.request
        record = find_or_pull(self.engine, reference, platform, wanted.logins, wanted.told, always=wanted.pull)
        shown = reference
        with contextlib.suppress(Invalid):
            shown = Reference.parse(reference).with_default_tag().canonical()
        return BaseImage(shown, str(record.id), record.image)


def _read_beneath(directory: str, path: str) -> str | None:
    """A text file of a context; None where there is none. Symbolic links stay in the context."""
    from wharf.kernel import paths

    try:
        top = os.open(directory, paths.DIRECTORY)
    except OSError:
        return None
    try:
        fd = paths.open_in_root(top, path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(top)
    with open(fd, "rb") as file:
        data = file.read(MAX_DOCKERFILE + 1)
    if len(data) > MAX_DOCKERFILE:
        raise Invalid(f"{path}: larger than {MAX_DOCKERFILE} bytes")
    return data.decode("utf-8", "surrogateescape")
