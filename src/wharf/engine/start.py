"""Start a container.

    files of /etc -> address and ports -> monitor with the first process, waiting -> network wired -> clients attached
    -> go -> state stored, events

Each step is undone when a later one fails; the state keeps the exit code and the error that Docker would record.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.bind_sources import make_bind_sources
from wharf.engine.cdi import carry_out, requested_edits
from wharf.engine.container import Container
from wharf.engine.container_events import publish_container_event, publish_network_event, publish_volume_events
from wharf.engine.devices import devices_of, throttles_of
from wharf.engine.endpoints import allocate, host_addresses, is_user_defined, to_hold, wire
from wharf.engine.exit import on_exit
from wharf.engine.health import begin_health, end_health
from wharf.engine.hosts_files import (
    FILES,
    Place,
    host_network_hosts,
    host_network_resolv,
    host_resolv_conf,
    hosts_text,
    resolv_text,
    user_resolv_text,
    write_file,
)
from wharf.engine.id_maps import IdMaps, applied, maps_of_process
from wharf.engine.image_mounts import mounted_layers
from wharf.engine.labels import labelled_root, relabel_sources
from wharf.engine.links import open_links, resolve_links, tell_parents
from wharf.engine.log_options import log_settings
from wharf.engine.mount_support import check_mounts
from wharf.engine.oci_spec import SHM, Found, build_spec
from wharf.engine.runtimes import runtime_command
from wharf.engine.security import apparmor_profile, capabilities, parse_options
from wharf.engine.shipping import open_shipper
from wharf.engine.status import state_word
from wharf.engine.storing import store
from wharf.engine.times import format_time
from wharf.engine.validate import root_size
from wharf.engine.volume_mounts import hold
from wharf.errors import Conflict, Internal, Invalid, NotFound, NotImplementedYet, WharfError
from wharf.kernel import faults
from wharf.network.manager import Published
from wharf.runtime.lifecycle import Verb
from wharf.runtime.oci.sealed import own_command
from wharf.runtime.requests import MonitorRequest, StartFailed
from wharf.runtime.waiting import CREATE_PREFIX
from wharf.spec.container import ContainerRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

log = logging.getLogger("wharf.engine")
KILL_LIMIT = 10.0
"""Seconds for what a failed start had let run to end."""


def start_container(engine: Engine, name: str) -> None:
    """Raises NotFound, NotModified when it runs, Conflict, Invalid (126, 127) and Internal in Docker's words."""
    container = engine.containers.live(name)
    with container.lock:
        container.require(Verb.START, name)
        container.require_stays()
        container.record.restart_count = 0
        container.restart_delay = 0.0
        container.record.manually_stopped = False
        start_locked(engine, container)


def start_locked(engine: Engine, container: Container) -> None:
    """Start under the container's lock, for the first time or again. Raises as `start_container`."""
    record = container.record
    container.require_stays()
    try:
        size = root_size(record.host_config.storage_opt or {}, supported=True)
        with engine.snapshots.room(record.id, size), contextlib.ExitStack() as undo:
            _start(engine, container, undo)
            undo.pop_all()
    except StartFailed as error:
        _record_failure(engine, container, error.message, error.exit_code)
        raise (Internal if error.exit_code == 128 else Invalid)(error.message) from None
    except WharfError as error:
        _record_failure(engine, container, error.message, 128)
        raise
    except OSError as error:
        text = f"{os.strerror(error.errno or 0).lower()}: {error.filename or ''}".rstrip(": ")
        _record_failure(engine, container, text, 128)
        raise Internal(f"failed to create task for container: {text}") from error
    except Exception as error:
        _record_failure(engine, container, str(error), 128)
        raise
    running = container.must_run()
    # Whatever is told from here on, the end is heard of; it waits for the lock.
    running.on_exit(lambda ended: on_exit(engine, container, running, ended))
    publish_network_event(engine, record, "connect")
    publish_container_event(engine, record, "start")
    tell_parents(engine, record)


def _record_failure(engine: Engine, container: Container, message: str, exit_code: int) -> None:
    record, state = container.record, container.record.state
    state.running = state.restarting = False
    state.pid = 0
    state.error, state.exit_code = message, exit_code
    store(engine, record, "the failed start")
    if record.host_config.auto_remove:
        from wharf.engine.remove import remove_in_background

        remove_in_background(engine, container)


def _start(engine: Engine, container: Container, undo: contextlib.ExitStack) -> None:
    record = container.record
    make_bind_sources(record)
    faults.done("start:sources")
    check_mounts(record, engine.host, engine.config.data_root)
    hold(engine, record, undo)
    faults.done("start:volumes")
    publish_volume_events(engine, record, "mount")
    undo.callback(publish_volume_events, engine, record, "unmount")
    joined = _joined(engine, record, undo)
    links = resolve_links(engine, record)
    published = allocate(engine, container, undo)
    faults.done("start:address")
    files = _write_files(engine, container, links)
    faults.done("start:files")
    relabel_sources(record, list(files.values()))
    shipper = open_shipper(engine, container, undo)
    request = _request(engine, record, files, joined, published)
    sandboxed = engine.supervisor.prepare(request)
    faults.done("start:monitor")
    waiting = contextlib.ExitStack()
    undo.enter_context(waiting)
    waiting.callback(sandboxed.abort)
    if published:
        wire(engine, record, published, sandboxed)
        open_links(engine, record)
        faults.done("start:network")
    _attach_waiting(container, sandboxed.attach)
    faults.done("start:attached")
    # Stored before `go`: an engine that is killed right after finds the address that the container has.
    engine.database.containers.put(record, durable=False)
    faults.done("start:recorded")
    waiting.pop_all()  # a failed go has cleaned up by itself
    running = sandboxed.go()
    undo.callback(_end, container, running)
    faults.done("start:go")
    if shipper is not None:
        shipper.follow(running)
    _record_start(engine, container, running, published)
    faults.done("start:running")


# -- what the container joins


def _joined(engine: Engine, record: ContainerRecord, undo: contextlib.ExitStack) -> dict[str, int]:
    """Descriptors of the namespaces of other containers that this one shares; closed by the caller's stack."""
    host, found = record.host_config, {}
    maps = applied(engine.config.id_maps, host)
    for kind, mode in (("network", record.network_mode), ("pid", host.pid_mode), ("ipc", host.ipc_mode)):
        if mode.startswith("container:"):
            other = mode.partition(":")[2]
            found[kind] = _namespace_of(engine, record, kind, other)
            undo.callback(os.close, found[kind])
            if maps:  # who shares one of these shares the namespace that owns it; of several the last is tried
                found["user"] = _user_namespace_of(engine, other, maps)
                undo.callback(os.close, found["user"])
    if "ipc" in found:
        found[SHM] = _namespace_of(engine, record, "mount", host.ipc_mode.partition(":")[2])
        undo.callback(os.close, found[SHM])
    return found


def _user_namespace_of(engine: Engine, name: str, maps: IdMaps) -> int:
    """Raises Internal in runc's words for a container with other ids, as one with --userns=host."""
    running = engine.containers.live(name).running
    if running is None:
        raise Conflict(f"container {name[:100]} is not running")
    if maps_of_process(running.pid) != maps:
        raise Internal(
            CREATE_PREFIX.partition(" unable")[0] + " user namespaces enabled, but both namespace path and "
            "non-matching mapping specified -- you may only provide one: unknown"
        )
    return running.namespace("user")


def _namespace_of(engine: Engine, record: ContainerRecord, kind: str, other_name: str) -> int:
    if not other_name:
        raise Invalid(f'failed to join {kind.upper()} namespace: invalid name or ID supplied: ""')
    try:
        other = engine.containers.live(other_name)
    except NotFound as error:
        # As in Docker the request is fine, and what it meets is the engine's trouble: 500 (daemon/start.go).
        joining = "joining network namespace of container: " if kind == "network" else ""
        raise Internal(joining + error.message) from None
    if other.id == record.id:
        raise Invalid(f"cannot join own {kind} namespace")
    if other.running is None:
        if kind == "network":
            state = state_word(other.record.state)
            raise Conflict(
                f"cannot join network namespace of a non running container: container {other.record.name} is {state}"
            )
        raise Conflict(f"failed to join {kind.upper()} namespace: container {other.id} is not running")
    if kind == "ipc" and other.record.host_config.ipc_mode in ("private", "none"):
        raise Invalid(
            f"failed to join IPC namespace: container {other.id}: non-shareable IPC (hint: use IpcMode:shareable for "
            "the donor container)"
        )
    if kind == "network":
        record.config.hostname = other.record.config.hostname
        record.config.domainname = other.record.config.domainname
    try:
        return other.running.namespace(kind)
    except ProcessLookupError:
        raise Conflict(f"failed to join {kind.upper()} namespace: container {other.id} is not running") from None


# -- files


def _write_files(engine: Engine, container: Container, links: Sequence[str]) -> dict[str, str]:
    """Write hostname, hosts and resolv.conf anew; target in the container -> file. None without a network."""
    record = container.record
    config, host = record.config, record.host_config
    mode = record.network_mode
    if not mode:
        return {}
    if record.joined_network:
        directory = engine.directory(files_owner(engine, record))
    else:
        directory = engine.directory(record.id)
        os.makedirs(directory, mode=0o710, exist_ok=True)
        base, dns = host_resolv_conf(), engine.config.dns.fill(host)
        gateway = str(engine.network.gateway)
        write_file(f"{directory}/hostname", config.hostname + "\n")
        if mode == "host":
            place = Place(gateway=gateway, ipv6=engine.host.ipv6)
            write_file(f"{directory}/hosts", host_network_hosts(host, place))
            write_file(f"{directory}/resolv.conf", host_network_resolv(dns, base))
        else:
            place = Place(tuple(host_addresses(record)), gateway, engine.host.ipv6, tuple(links))
            named = any(map(is_user_defined, record.networks))
            write_file(f"{directory}/hosts", hosts_text(config, host, place))
            write_file(f"{directory}/resolv.conf", (user_resolv_text if named else resolv_text)(dns, base))
    return {f"/etc/{name}": f"{directory}/{name}" for name in FILES}


def files_owner(engine: Engine, record: ContainerRecord) -> str:
    """Id of the container whose hostname, hosts and resolv.conf this one uses."""
    seen = set()
    while record.joined_network and record.id not in seen:
        seen.add(record.id)
        record = engine.containers.find(record.joined_network)
    return record.id


# -- the monitor


def _request(
    engine: Engine,
    record: ContainerRecord,
    files: dict[str, str],
    joined: dict[str, int],
    published: Sequence[Published],
) -> MonitorRequest:
    config, host = record.config, engine.config.containers.at_start(record.host_config)
    security = parse_options(host, engine.config.seccomp_profile, engine.config.no_new_privileges)
    names = capabilities(host, engine.host.last_capability)
    edits = requested_edits(host.device_requests or (), engine.config)
    found = Found(
        capabilities=names,
        security=security,
        devices=[*devices_of(host), *edits.devices],
        throttles=throttles_of(host),
        files=files,
        joined=frozenset(joined),
        apparmor=apparmor_profile(security, host.privileged, engine.apparmor),
        id_maps=applied(engine.config.id_maps, host),
        recursive_readonly=engine.host.recursive_readonly,
        init_program=engine.init_program,
    )
    log = log_settings(record, engine.directory(record.id))
    if log is not None:
        os.makedirs(os.path.dirname(log.path), mode=0o710, exist_ok=True)
    if log is not None and log.form == "json":
        record.log_path = log.path
    confined = security.confined and engine.host.seccomp
    runtime = runtime_command(engine.config, host.runtime)
    if edits.hooks and not runtime:
        runtime = own_command()  # hooks are the command's business: they want a bundle to look at
    if runtime and found.id_maps:
        what = "hooks of CDI devices" if edits.hooks else "another OCI runtime"
        raise NotImplementedYet(f"user namespaces with {what}: not there yet")
    return MonitorRequest(
        id=record.id,
        spec=carry_out(build_spec(replace(record, host_config=host), found), edits),
        rootfs=labelled_root(engine.snapshots.mounts(record.id)[0], record.mount_label),
        cgroup=engine.cgroup_path(record.id, host.cgroup_parent),
        user=config.user,
        groups=(*(host.group_add or ()), *map(str, edits.groups)),
        log=log,
        open_stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        seccomp=engine.supervisor.seccomp_filter(security.profile, names) if confined and not runtime else b"",
        runtime=runtime,
        rules=engine.supervisor.seccomp_rules(security.profile, names) if confined and runtime else None,
        namespaces=joined,
        hold=to_hold(published),
        images=mounted_layers(engine, record),
    )


def _attach_waiting(container: Container, attach: Callable[..., socket.socket]) -> None:
    """Join the clients that attached before the start, so that they miss nothing."""
    waiting, container.attaching = container.attaching, []
    for request, future in waiting:
        if future.cancelled():
            continue
        stream = attach(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, framed=request.framed)
        if not future.set_running_or_notify_cancel():
            stream.close()
            continue
        future.set_result(stream)


def _record_start(engine: Engine, container: Container, running: Running, published: Sequence[Published]) -> None:
    record, state = container.record, container.record.state
    state.running, state.paused, state.restarting = True, False, False
    state.pid, state.start_time, state.boot_id = running.pid, running.start_time, engine.host.boot_id
    state.exit_code, state.error, state.oom_killed = 0, "", False
    state.started_at = format_time(time.time_ns())
    container.running = running
    container.endpoints = tuple(item.endpoint for item in published)
    container.started_monotonic = time.monotonic()
    if container.stopped.done():
        container.stopped = Future()
    begin_health(engine, container)
    store(engine, record, "the start")  # it runs: the next start of wharfd takes it over as it is


def _end(container: Container, running: Running) -> None:
    """Undo of `go`: nothing may run that the record calls stopped."""
    end_health(container)
    container.running, container.endpoints = None, ()
    with contextlib.suppress(OSError):
        running.signal(signal.SIGKILL)  # needs no descriptor, of which there may be none
    with contextlib.suppress(OSError):
        running.kill_all()
    if running.wait(KILL_LIMIT) is None:
        log.error("container %s: what its failed start let run does not end", container.id)
