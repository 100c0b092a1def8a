"""RUN: a container of the engine's, on the tree so far; what it writes becomes a layer."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wharf.build.agents import AgentSocket
from wharf.build.cache import BuildCache, mount_name
from wharf.build.foreign import check_runnable
from wharf.build.graph import CopyFiles, Exec, MountKind, StepMount, Vertex
from wharf.build.ops.brought import Brought
from wharf.build.ops.files import FileWork, ensure_here
from wharf.build.service import STEP_LABEL
from wharf.build.solver.solver import Job
from wharf.build.tree import EMPTY, Tree
from wharf.engine.container import AttachRequest
from wharf.engine.create import create_container
from wharf.engine.remove import remove_now
from wharf.engine.start import start_locked
from wharf.engine.stop import send_signal
from wharf.errors import Invalid, WharfError
from wharf.spec.container import (
    ContainerConfig,
    CreateRequest,
    HostConfig,
    LogConfig,
    MountRequest,
    TmpfsOptions,
    Ulimit,
)
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_CONFIG, Descriptor, Image, ImageConfig
from wharf.spec.image_record import ImageRecord

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine

_SIGKILL = 9
_HEADER = 8


class StepFailed(Invalid):
    """A program of a step ended with another code than 0."""

    def __init__(self, argv: tuple[str, ...], code: int) -> None:
        self.argv, self.code = argv, code
        super().__init__(f'process "{" ".join(argv)}" did not complete successfully: exit code: {code}')


@dataclass(slots=True)
class Locks:
    """Cache directories in use: `sharing=locked` waits, `sharing=private` takes another."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    by_name: dict[str, threading.Lock] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def of(self, name: str) -> threading.Lock:
        """The lock of one cache."""
        with self.lock:
            return self.by_name.setdefault(name, threading.Lock())


@dataclass(frozen=True, slots=True)
class _Here:
    """One run of a step: its directory, what its build brought, what ends with it."""

    directory: str
    brought: Brought
    stack: contextlib.ExitStack
    job: Job


@dataclass(slots=True)
class StepWork:
    """Runs steps; `root` is the builds' directory, with `steps/`."""

    engine: Engine
    files: FileWork
    root: str
    cache: BuildCache
    locks: Locks

    def run(self, vertex: Vertex, inputs: Sequence[Tree | None], job: Job, brought: Brought) -> Tree:
        """The tree after the program. Raises Invalid with the exit code, Cancelled."""
        op = vertex.op
        assert isinstance(op, Exec)
        check_runnable(vertex.platform, self.engine.images.platform)
        base = inputs[0] or EMPTY
        ensure_here(self.engine, base)
        directory = os.path.join(self.root, "steps", secrets.token_hex(8))
        os.makedirs(directory, mode=0o700)
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            request = self._request(vertex, inputs, _Here(directory, brought, stack, job))
            created = create_container(self.engine, request, _image_of(base))
            container = self.engine.containers.live(created.id)
            stack.callback(self._remove, container)
            code = self._run(container, job)
            if code:
                raise StepFailed(op.argv, code)
            targets = [mount.target for mount in op.mounts if mount.target] + (["/dev/pipes"] if op.files else [])
            if targets:
                return self.files.without_stubs(base, container.id, targets, vertex.epoch)
            return self.files.packed(base, container.id, vertex.epoch)

    def _remove(self, container: Container) -> None:
        try:
            remove_now(self.engine, container, True, step=True).result()
        except WharfError:  # on a full disk no row can be written: what the step wrote goes first, then the row
            shutil.rmtree(self.engine.snapshots.layers(container.id).upper, ignore_errors=True)
            with contextlib.suppress(WharfError):
                remove_now(self.engine, container, True, step=True).result()

    def _run(self, container: Container, job: Job) -> int:
        stream: Future[Any] = Future()
        container.attaching.append((AttachRequest(False, True, True), stream))
        with container.lock:
            start_locked(self.engine, container)
        reader = threading.Thread(target=_read, args=(stream.result(), job), name="build-output", daemon=True)
        reader.start()
        while True:
            try:
                container.stopped.result(0.2)
                break
            except Late:
                if job.cancelled.is_set():
                    send_signal(self.engine, container, _SIGKILL)
                    container.stopped.result(30)
        reader.join()
        job.check()
        return container.record.state.exit_code

    def _request(self, vertex: Vertex, inputs: Sequence[Tree | None], here: _Here) -> CreateRequest:
        op = vertex.op
        assert isinstance(op, Exec)
        secret = here.brought.secrets
        env = [*op.env, *op.unkeyed_env]
        if not any(item.startswith("HOSTNAME=") for item in env):
            env.append("HOSTNAME")  # a name alone takes away what containers have by themselves
        mounts: list[MountRequest] = []
        for number, mount in enumerate(op.mounts):
            place = os.path.join(here.directory, str(number))
            found = self._mount(mount, inputs, place, here, vertex.title)
            if found is not None:
                mounts.append(found)
            if found is not None and mount.kind is MountKind.SSH:
                env.append(f"SSH_AUTH_SOCK={mount.target}")
            if mount.env and mount.id in secret:
                env.append(f"{mount.env}={secret[mount.id].decode('utf-8', 'surrogateescape')}")
        if op.files:
            mounts.append(_scripts(op, os.path.join(here.directory, "pipes")))
        host = HostConfig(
            network_mode=op.network,
            log_config=LogConfig("none", {}),
            privileged=op.insecure,
            extra_hosts=list(op.extra_hosts),
            shm_size=op.shm_size,
            ulimits=[_ulimit(text) for text in op.ulimits] or None,
            mounts=mounts,
            init=False,
        )
        if self.engine.config.id_maps is not None:
            _map_ids(host)
        for key, value in op.limits:
            setattr(host, key, value)
        config = ContainerConfig(
            hostname=op.hostname if op.network != "host" else "",
            user=op.user,
            env=env,
            cmd=list(op.argv),
            working_dir=op.cwd,
            attach_stdout=True,
            attach_stderr=True,
            labels={STEP_LABEL: "1"},
            image="build",
        )
        return CreateRequest(config, host)

    def _mount(
        self,
        mount: StepMount,
        inputs: Sequence[Tree | None],
        place: str,
        here: _Here,
        title: str,
    ) -> MountRequest | None:
        if mount.kind is MountKind.TMPFS:
            return MountRequest("tmpfs", "", mount.target, tmpfs_options=TmpfsOptions(size_bytes=mount.size))
        if mount.kind is MountKind.SECRET:
            return _secret(mount, place, here.brought.secrets)
        if mount.kind is MountKind.SSH:
            agent = here.brought.agents.get(mount.id)
            if agent is None:
                if mount.required:
                    raise Invalid(f"no SSH key {mount.id!r} forwarded from the client")
                return None
            here.stack.enter_context(AgentSocket(agent, place, mount.mode, (mount.uid, mount.gid)))
            return MountRequest("bind", place, mount.target)
        if mount.kind is MountKind.CACHE:
            source = here.stack.enter_context(self._cache(mount, inputs, here, title))
            return MountRequest("bind", source, mount.target, mount.read_only)
        tree = inputs[mount.input] if mount.input > 0 else None
        self._copy_out(tree or EMPTY, mount.source, place)
        return MountRequest("bind", _entry(place, mount.source), mount.target, mount.read_only)

    def _copy_out(self, tree: Tree, source: str, place: str, target: str = "") -> None:
        """A copy of a part of a tree: what a step writes to it is lost, and it stays as it is while the step runs."""
        os.mkdir(place, 0o755)
        action = CopyFiles(1, (source,), target or source, zero_owner=bool(tree.directory))
        with self.files.places([tree]) as trees:
            mount = {"type": "bind", "source": place, "target": "", "options": ("rw", "rbind"), "overlay": None}
            args = {"kind": "CopyFiles", "input": 1, "tree": 0, "ignore": list(tree.ignore), **_fields(action)}
            self.engine.worker.run("files.apply", {"mount": mount, "trees": trees, "actions": [args]})

    @contextlib.contextmanager
    def _cache(self, mount: StepMount, inputs: Sequence[Tree | None], here: _Here, title: str) -> Iterator[str]:
        """The directory of a cache mount; its first use fills it from an imported cache, or the tree it names."""
        name = mount_name(mount.id)
        lock = self.locks.of(name)
        if mount.sharing == "locked":
            while not lock.acquire(timeout=0.2):
                here.job.check()
        elif mount.sharing == "private":
            number = 0
            with self.locks.lock:
                while f"{name}-{number}" in self.locks.taken:
                    number += 1
                name = f"{name}-{number}"
                self.locks.taken.add(name)
        try:
            path = os.path.join(self.cache.mounts, name)
            if not os.path.isdir(path):
                self._fill(mount, inputs, path, name, here.brought)
            self.cache.mount_used(name, f"{mount.target} of {title}")
            yield path
        finally:
            if mount.sharing == "locked":
                lock.release()
            elif mount.sharing == "private":
                with self.locks.lock:
                    self.locks.taken.discard(name)

    def _fill(self, mount: StepMount, inputs: Sequence[Tree | None], path: str, name: str, brought: Brought) -> None:
        staged = f"{path}.{secrets.token_hex(4)}"
        os.mkdir(staged, 0o700)
        if not brought.restore_mount(name, staged):
            shutil.rmtree(staged)  # what was half restored as well
            tree = inputs[mount.input] if mount.input > 0 else None
            self._copy_out(tree or EMPTY, mount.source if tree else "/", staged, "/")
        os.chown(staged, mount.uid, mount.gid)
        os.chmod(staged, mount.mode)
        try:
            os.rename(staged, path)
        except OSError:
            shutil.rmtree(staged)  # another step was faster


def _fields(action: CopyFiles) -> dict[str, Any]:
    return {
        "sources": list(action.sources),
        "target": action.target,
        "chown": "",
        "chmod": "",
        "excludes": [],
        "parents": False,
        "unpack": False,
        "alike": True,
        "zero_owner": action.zero_owner,
    }


def _entry(place: str, source: str) -> str:
    return place if source == "/" else place + source


def _secret(mount: StepMount, place: str, secret: Mapping[str, bytes]) -> MountRequest | None:
    value = secret.get(mount.id)
    if value is None:
        if mount.required:
            raise Invalid(f"secret {mount.id}: not found")
        return None
    if not mount.target:
        return None
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(value)
        os.fchown(fd, mount.uid, mount.gid)
        os.fchmod(fd, mount.mode)
    return MountRequest("bind", place, mount.target, True)


def _scripts(op: Exec, place: str) -> MountRequest:
    os.mkdir(place, 0o755)
    for name, text in op.files:
        path = os.path.join(place, os.path.basename(name))
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path, 0o755)
    return MountRequest("bind", place, "/dev/pipes", True)


def _map_ids(host: HostConfig) -> None:
    """What a step is shown has the image's ids, as layers have; a container with other ids sees it mapped."""
    binds = [item for item in host.mounts or () if item.type == "bind" and ":" not in item.source + item.target]
    host.mounts = [item for item in host.mounts or () if item not in binds]
    host.binds = [f"{item.source}:{item.target}:{'ro,' if item.read_only else ''}idmap" for item in binds]


def _ulimit(text: str) -> Ulimit:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    return Ulimit(name, int(soft), int(hard or soft))


def _image_of(tree: Tree) -> ImageRecord:
    """What the engine needs of an image that has no name: its layers."""
    chain = tree.chain_id or Digest("0" * 64)
    nothing = Descriptor(MEDIA_CONFIG, chain, 0)
    return ImageRecord(chain, Image(ImageConfig(), tree.diff_ids), nothing, nothing, tree.layers)


def _read(stream: socket.socket, job: Job) -> None:
    """Frames of a container's output (Engine API, attach): a stream's number, three zeros, the length, the bytes."""
    with stream, stream.makefile("rb") as file:
        while len(head := file.read(_HEADER)) == _HEADER:
            data = file.read(int.from_bytes(head[4:], "big"))
            if data:
                job.log(data, head[0])
