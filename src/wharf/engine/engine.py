"""The engine: composition only. Use cases are functions that take it, one to a file.

As a library: `Engine.open(config)` … `close()`; no signal handler, no loop policy, threads end at close.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Sequence
from typing import Any

from wharf.engine.cgroup_driver import SYSTEMD, container_cgroup, prepare_top, remove_parent, with_driver
from wharf.engine.config import EngineConfig
from wharf.engine.devices import find_init, thermal_paths
from wharf.engine.events import EventBus
from wharf.engine.id_maps import check_remap
from wharf.engine.image_bootstrap import clear_scratch
from wharf.engine.image_gc import ImageGc
from wharf.engine.info import instance_uuid
from wharf.engine.live import LiveContainers
from wharf.engine.loop import EngineLoop
from wharf.engine.mend_layers import mend_after_boot
from wharf.engine.netd_guard import NetdGuard
from wharf.engine.registries import Registries
from wharf.engine.restore import restart_after_open, restore_containers
from wharf.engine.runtimes import remove_foreign_parents
from wharf.engine.security import default_apparmor
from wharf.engine.shipping import close_shippers
from wharf.engine.shutdown import stop_all, takes_containers
from wharf.engine.volume_holds import VolumeHolds
from wharf.engine.volume_mounts import VolumeMounts, restore_volume_mounts
from wharf.engine.volumes import restore_volumes
from wharf.errors import Conflict, Unavailable
from wharf.kernel.lsm.selinux import policy_labels
from wharf.kernel.probe import probe
from wharf.network.manager import NetworkConfig, NetworkManager
from wharf.network.names import Names, instance_id
from wharf.network.netd.client import NetdClient
from wharf.runtime.supervisor import Supervisor
from wharf.spec.host import Host
from wharf.spec.network import Endpoint
from wharf.storage.content import ContentStore
from wharf.storage.metadata import Database
from wharf.storage.snapshots.overlay import OverlaySnapshotter
from wharf.storage.trash import Trash
from wharf.storage.volumes import VolumeStore
from wharf.transfer.store import ImageStore


class Worker:
    """Jobs in processes of their own, as storage wants them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Run one job; raises what it raised."""
        return self._supervisor.worker(job, args, fds)

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """For somebody with many jobs: within the `with` a process may do one after another."""
        return self._supervisor.keeping_workers()


class Engine:
    """The stores and services of one data root."""

    def __init__(self, config: EngineConfig, loop: asyncio.AbstractEventLoop | None, host: Host, lock: int) -> None:
        self.config, self.host, self._lock = config, host, lock
        root = config.data_root
        self.instance = instance_id(root)
        self.loop = EngineLoop(loop)
        self.events = EventBus(self.loop)
        self.database = Database(os.path.join(root, "wharf.db"))
        self.content = ContentStore(os.path.join(root, "content"))
        self.supervisor = Supervisor(config.exec_root, root, host)
        self.worker = Worker(self.supervisor)
        self.trash = Trash(os.path.join(root, "trash"), self.worker)
        self.snapshots = OverlaySnapshotter(os.path.join(root, "snapshots"), host, self.trash)
        self.volumes = VolumeStore(os.path.join(root, "volumes"), self.trash)
        self.volume_mounts = VolumeMounts()
        self.volume_holds = VolumeHolds()
        self.images = ImageStore(self.database, self.content, self.snapshots, self.worker, host)
        seed = hashlib.sha256(instance_uuid(self).encode()).digest()
        settings = NetworkConfig(
            self.instance,
            config.bip,
            config.default_pools,
            config.mtu,
            config.ip_forward,
            seed,
            icc=config.icc,
            default=config.default_bridge,
            publish=config.publish,
            forward_accept=config.forward_accept,
        )
        self.relay = NetdClient(config.exec_root, Names(self.instance).table, config.warn)
        self.network = NetworkManager(settings, self.database.networks, config.warn, self.relay)
        self.netd_guard = NetdGuard(self)
        self.containers = LiveContainers(self.snapshots)
        self.thermal = thermal_paths()
        self.init_program = find_init()
        self.apparmor = default_apparmor(host, config.warn)
        self.selinux = policy_labels() if config.selinux and host.selinux else None
        if config.selinux and not host.selinux:
            config.warn("Wharf could not enable SELinux on the host system")
        self.pruning = threading.Lock()
        self.registries = Registries()
        self.closing = False
        self.image_gc = ImageGc(self)

    @classmethod
    def open(cls, config: EngineConfig, loop: asyncio.AbstractEventLoop | None = None) -> "Engine":
        """Take the data root and bring everything to the state it should be in. Blocking; raises WharfError."""
        try:
            for path in (config.data_root, config.exec_root):
                os.makedirs(path, mode=0o710, exist_ok=True)
            host = with_driver(probe(), config.cgroup_driver)
            check_remap(config.id_maps, host)
            engine = cls(config, loop, host, _take_lock(config.data_root))
            try:
                engine._start()
            except BaseException:
                engine._abandon()
                raise
        except OSError as error:  # a full disk, a read-only one, no descriptor left
            reason = os.strerror(error.errno or 0).lower()
            raise Unavailable(f"cannot use the data root {config.data_root}: {reason}: {error.filename}") from error
        return engine

    def _abandon(self) -> None:
        """Let go of what a failed `open` had taken, as far as it came; containers that run go on."""
        ends = (self.loop.close, self.supervisor.close, self.snapshots.close, self.trash.close, self.database.close)
        for end in ends:
            with contextlib.suppress(Exception):
                end()
        os.close(self._lock)

    def _start(self) -> None:
        prepare_top(self.host)
        self.trash.start()
        self.snapshots.start()
        self.supervisor.start()
        endpoints: list[Endpoint] = restore_containers(self)
        self.network.start(endpoints)
        self.images.restore()
        mend_after_boot(self)
        restore_volumes(self)
        restore_volume_mounts(self)
        clear_scratch(self)
        self.netd_guard.hand_over()
        restart_after_open(self)
        self.image_gc.arm()

    def cgroup_path(self, container_id: str, parent: str = "") -> str:
        """Path of a container's cgroup below each hierarchy; other instances have a parent of their own."""
        return container_cgroup(self.host, self.instance, container_id, parent)

    def directory(self, container_id: str) -> str:
        """Where a container's own files are."""
        return os.path.join(self.config.data_root, "containers", container_id)

    def busy(self) -> bool:
        """Whether containers run or wait for their restart."""
        return any(container.record.state.running for container in self.containers)

    def close(self, stop_containers: bool | None = None) -> None:
        """End; with `stop_containers` stop them first, within `shutdown_timeout`. Without, they go on running.
        None: as the configuration says."""
        self.closing = True
        self.image_gc.close()
        if stop_containers if stop_containers is not None else takes_containers(self):
            stop_all(self)
        running = self.busy()
        self.netd_guard.close()
        close_shippers(self)
        self.loop.close()
        self.network.close(remove=not running)
        self.supervisor.close()
        if not running:
            remove_parent(self.host, self.instance)
            # Whatever runtimes there are by now: who was added before may have left something.
            if self.host.cgroup_driver != SYSTEMD:
                remove_foreign_parents(self.host.cgroup_mounts, self.cgroup_path("")[:-1])
        self.registries.close()
        self.snapshots.close()
        self.trash.close()
        self.database.close()
        os.close(self._lock)


def _take_lock(data_root: str) -> int:
    path = os.path.join(data_root, "lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise Conflict(f"the data root {data_root} is in use by another daemon (lock {path})") from None
    return fd
