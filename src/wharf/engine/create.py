"""Create a container: a request and an image become one record, a writable snapshot and the volumes it needs.

Steps, each undone when a later one fails: name reserved, snapshot prepared, volumes made, record stored (the only
one that a crash leaves visible; `restore` removes the others when they have no record).
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wharf.engine.bind_id_maps import id_map_of
from wharf.engine.cgroup_driver import check_parent
from wharf.engine.check_resources import check_resources
from wharf.engine.container import Container
from wharf.engine.container_events import publish_container_event
from wharf.engine.defaults import command_of, fill_host_config, merge_image
from wharf.engine.endpoints import networks_at_create
from wharf.engine.image_inspect import find_image
from wharf.engine.image_mounts import inherit_image, make_views, resolve_images, warnings_of
from wharf.engine.image_platform import warn_of_platform
from wharf.engine.labels import put_labels
from wharf.engine.links import take_links
from wharf.engine.log_options import check_log_config
from wharf.engine.mount_spec import Planned, inherited_read_only, plan_mounts
from wharf.engine.names import check_name, generate_name
from wharf.engine.times import format_time
from wharf.engine.validate import (
    check_config,
    check_host_config,
    check_network_conflicts,
    check_user_namespace,
    refuse_nul,
    root_size,
)
from wharf.engine.volumes import ensure_volume, populate, remove_volume
from wharf.errors import Invalid, NotFound, NotImplementedYet, WharfError
from wharf.kernel import faults
from wharf.kernel.cgroup.support import supported
from wharf.network.forwarding import DISABLED, forwards_ipv4
from wharf.spec.container import (
    ContainerConfig,
    ContainerRecord,
    CreateRequest,
    HostConfig,
    VolumeOptions,
)
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.volume import ANONYMOUS_LABEL
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_ENTRIES = 10_000
"""Of environment variables, arguments, labels, mounts: more can only be a mistake."""


@dataclass(slots=True)
class Created:
    """The new container's id, and what the client should tell its user."""

    id: str
    warnings: list[str] = field(default_factory=list)


def create_container(engine: Engine, request: CreateRequest, image: ImageRecord | None = None) -> Created:
    """Make a container, not started. Raises NotFound (image, volumes-from), Invalid, Conflict (name); leaves
    nothing behind when it fails. `image` is given where it has no name: the tree of a build's step."""
    request = dataclasses.replace(request)
    config, host_config = request.config, request.host_config
    name = check_name(request.name) if request.name else ""
    _check_sizes(request)
    check_config(config)
    fill_host_config(host_config, engine.config, engine.host, engine.thermal)
    step = image is not None  # nobody is told of it before its end: it need not outlive a power loss
    image = image or find_image(engine, config.image)
    _check_platform(request, image)
    merge_image(config, image.image.config)
    refuse_nul(request)
    path, args = command_of(config)
    check_host_config(host_config)
    size = root_size(host_config.storage_opt or {}, engine.snapshots.quotas.supported)
    warnings = check_resources(host_config, supported(engine.host.cgroup_mounts))
    settled = engine.config.containers.at_start(host_config)
    check_parent(engine.host, settled.cgroup_parent)
    if settled.init and not engine.init_program:
        raise NotImplementedYet("--init needs a small init on the host: install tini-static or catatonit")
    check_log_config(host_config.log_config)
    check_network_conflicts(config, host_config)
    if engine.config.id_maps:
        check_user_namespace(host_config)
    inherited = _inherited(engine, host_config)
    planned = plan_mounts(config, host_config, inherited, engine.config.data_root, request.flat_read_only)
    warnings += warnings_of(planned)
    images = [image, *resolve_images(engine, planned)]
    container_id = secrets.token_hex(32)
    _resolve_joined(engine, host_config, container_id)
    config.hostname = config.hostname or _hostname(config, host_config, container_id)
    with contextlib.ExitStack() as undo, engine.volume_holds.by(container_id) as hold:
        name = _take_name(engine, name, container_id)
        undo.callback(engine.containers.release, name, container_id)
        record = ContainerRecord(
            id=container_id,
            name=name,
            created=format_time(time.time_ns()),
            image_id=str(image.id),
            config=config,
            host_config=host_config,
            path=path,
            args=args,
        )
        put_labels(engine, record)
        take_links(engine, record)
        networks_at_create(engine, record, dict(request.networking_config.endpoints_config or {}))
        _make_snapshots(engine, record, images, planned, undo, size=size)
        faults.done("create:snapshot")
        _announce_volumes(engine, record, planned, undo)
        _make_volumes(engine, record, planned, hold, undo)
        faults.done("create:volumes")
        record.state.removal_in_progress = record.remove_volumes = False
        container = Container(record)
        engine.database.containers.put(record, durable=not step)
        faults.done("create:recorded")
        engine.containers.add(container)
        undo.pop_all()
    publish_container_event(engine, record, "create")
    return Created(container_id, warnings + _warnings(engine, request, image))


def _check_platform(request: CreateRequest, image: ImageRecord) -> None:
    """Raises NotFound for an image of another platform than was asked for."""
    have = image.image.platform
    if request.platform:
        wanted = Platform.parse(request.platform)
        if (wanted.os, wanted.architecture) != (have.os, have.architecture):
            raise NotFound(
                f"image with reference {request.config.image} was found but its platform ({have}) does not match the "
                f"specified platform ({wanted})"
            )


def _check_sizes(request: CreateRequest) -> None:
    config, host = request.config, request.host_config
    for what, items in (
        ("environment variables", config.env),
        ("arguments", config.cmd),
        ("labels", config.labels),
        ("binds", host.binds),
        ("mounts", host.mounts),
        ("exposed ports", config.exposed_ports),
    ):
        if items and len(items) > MAX_ENTRIES:
            raise Invalid(f"too many {what}: {len(items)}, the limit is {MAX_ENTRIES}")


def _take_name(engine: Engine, name: str, container_id: str) -> str:
    if name:
        engine.containers.reserve(name, container_id)
        return name
    while True:
        made = generate_name(engine.containers.taken, container_id)
        with contextlib.suppress(WharfError):
            engine.containers.reserve(made, container_id)
            return made


def _hostname(config: ContainerConfig, host_config: HostConfig, container_id: str) -> str:
    if host_config.network_mode == "host" or host_config.uts_mode == "host":
        return socket.gethostname()
    joins = host_config.network_mode.startswith("container:") and not config.network_disabled
    return "" if joins else container_id[:12]


def _resolve_joined(engine: Engine, host_config: HostConfig, container_id: str) -> None:
    """`container:name` becomes `container:<id>` where there is such a container, as Docker stores it."""
    for key in ("network_mode", "pid_mode", "ipc_mode"):
        mode: str = getattr(host_config, key)
        name = mode.removeprefix("container:")
        if name == mode or not name:
            continue
        try:
            setattr(host_config, key, "container:" + engine.containers.find(name).id)
        except WharfError as error:
            if key != "network_mode":  # that one is told at the start
                raise Invalid(error.message) from None  # 404 would make the client pull the image


def _inherited(engine: Engine, host_config: HostConfig) -> list[Planned]:
    """The mounts of --volumes-from containers."""
    found: list[Planned] = []
    for text in host_config.volumes_from or ():
        if not text:
            raise Invalid("volumes-from specification cannot be an empty string")
        name, _, mode = text.partition(":")
        read_only = inherited_read_only(mode)
        if not name:
            raise Invalid('invalid name or ID supplied: ""')
        try:
            other = engine.containers.find(name)
        except NotFound as error:
            raise Invalid(error.message) from None  # 404 would make the client pull the image
        for point, request in zip(other.mounts, other.mount_requests, strict=True):
            copied = dataclasses.replace(point, mode=id_map_of(point.mode), rw=point.rw and not read_only)
            asked = dataclasses.replace(request, read_only=request.read_only or read_only)
            found.append(Planned(copied, asked))
            inherit_image(engine, other, found[-1])
    return found


def _make_snapshots(
    engine: Engine,
    record: ContainerRecord,
    images: Sequence[ImageRecord],
    planned: Sequence[Planned],
    undo: contextlib.ExitStack,
    *,
    size: int,
) -> None:
    """The root, of the first of `images` and of `size` bytes at most, and views of what is mounted beside it."""
    # Registered first: a snapshot that is half made goes too.
    undo.callback(engine.snapshots.remove, record.id)
    with engine.images.operations.operation():  # holds off the sweep that follows a deletion of an image
        for image in images:
            ensure_unpacked(engine.images, image.layers, image.image.diff_ids)
        engine.snapshots.prepare(record.id, images[0].chain_id, init=True, size=size)
        make_views(engine, record.id, planned, undo)


def _announce_volumes(
    engine: Engine, record: ContainerRecord, planned: Sequence[Planned], undo: contextlib.ExitStack
) -> None:
    """Nobody would know whose an anonymous volume is if a crash came before the container is stored: store it now, as
    one that is to be removed with them."""
    anonymous = [item for item in planned if item.anonymous]
    if not anonymous:
        return
    for item in anonymous:
        item.point.name = secrets.token_hex(32)
    record.mounts = [item.point for item in planned]
    record.mount_requests = [item.request for item in planned]
    record.state.removal_in_progress = record.remove_volumes = True
    engine.database.containers.put(record, durable=False)
    faults.done("create:volumes-announced")
    undo.callback(engine.database.containers.delete, record.id)


def _make_volumes(
    engine: Engine,
    record: ContainerRecord,
    planned: Sequence[Planned],
    hold: Callable[[str], None],
    undo: contextlib.ExitStack,
) -> None:
    for item in planned:
        if item.point.type == "volume":
            hold(item.point.name)
        if item.point.type == "volume" and not item.point.source:
            _make_volume(engine, record, item, undo)
    record.mounts = [item.point for item in planned]
    record.mount_requests = [item.request for item in planned]


def _make_volume(engine: Engine, record: ContainerRecord, item: Planned, undo: contextlib.ExitStack) -> None:
    point, options = item.point, item.request.volume_options or VolumeOptions()
    driver = options.driver_config
    is_new = item.anonymous or engine.database.volumes.get(point.name) is None
    labels = {**(options.labels or {}), ANONYMOUS_LABEL: ""} if item.anonymous else options.labels
    if item.anonymous and item.request.volume_options is not None:
        item.request.volume_options.labels = labels  # inspect shows it
    volume = ensure_volume(
        engine,
        point.name,
        driver=(driver.name if driver else "") or point.driver,
        opts=driver.options if driver else None,
        labels=labels,
    )
    point.name, point.source = volume.name, volume.mountpoint
    if is_new:
        undo.callback(remove_volume, engine, volume.name, force=True)
    wanted = not options.no_copy and not options.subpath
    if wanted and engine.snapshots.may_have(record.id, point.destination):  # else no worker need look
        populate(engine, engine.snapshots.mounts(record.id), point.destination, volume.name)


def _warnings(engine: Engine, request: CreateRequest, image: ImageRecord) -> list[str]:
    warnings = []
    if request.host_config.network_mode not in ("host", "none") and not forwards_ipv4():
        warnings.append(DISABLED)
    check = request.config.healthcheck
    if check and check.test and check.test[0] not in ("NONE", "CMD", "CMD-SHELL"):  # Docker takes it and is silent
        warnings.append(
            f'Unknown healthcheck type "{check.test[0][:100]}" (expected "CMD" or "CMD-SHELL"): not checked'
        )
    host_config = request.host_config
    if not request.platform:
        warnings += warn_of_platform(image.image.platform, engine.images.platform)
    if host_config.network_mode == "host" and host_config.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    return warnings
