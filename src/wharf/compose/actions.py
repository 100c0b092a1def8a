"""One function for each kind of step: what it asks of the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from wharf.client.api import query, quote
from wharf.client.http import ApiError
from wharf.compose import labels
from wharf.compose.create_body import Wanted, create_body, environment_list, image_name
from wharf.compose.engine import CONFLICT, NOT_FOUND, NOT_MODIFIED, Engine
from wharf.compose.hashes import network_hash, volume_hash
from wharf.compose.mounts import injected_files
from wharf.compose.observed import Observed
from wharf.compose.project import Project, Service
from wharf.compose.record import Record, field
from wharf.compose.steps import Step
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Context(Record):
    """What the steps of one run share."""

    engine: Engine
    project: Project
    observed: Observed
    report: Callable[[str, str], None]
    ids: dict[str, str] = field(default_factory=dict)
    """Of the containers, by name; those that are there already first."""
    by_service: dict[str, dict[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    hook_output: Callable[[str, bytes], None] | None = None

    def __post_init__(self) -> None:
        for container in self.observed.containers:
            if not labels.is_one_off(container):
                self.remember(labels.service_of(container), labels.name_of(container), container["Id"])

    def remember(self, service: str, name: str, id: str) -> None:
        """A container that is there now."""
        self.ids[name] = id
        self.by_service.setdefault(service, {})[name] = id

    def id_of(self, name: str) -> str:
        """A container's id, or its name when nothing is known of it."""
        return self.ids.get(name, name)

    def first_of(self, service: str, what: str) -> str:
        """The id of a service's first container by name; raises WharfError."""
        found = self.by_service.get(service)
        if not found:
            raise WharfError(f"cannot share {what} with service {service}: container missing")
        return found[min(found)]


def resolve_references(context: Context, service: Service) -> Service:
    """`service:x` and `volumes_from` as the ids of containers."""
    changed = dict(service)
    for space, what in (("network_mode", "network namespace"), ("ipc", "IPC namespace"), ("pid", "PID namespace")):
        mode = str(service.get(space) or "")
        if mode.startswith("service:"):
            changed[space] = f"container:{context.first_of(mode.removeprefix('service:'), what)}"
    if service.get("volumes_from"):
        sources = []
        for source in service["volumes_from"]:
            parts = source.split(":")
            sources.append(parts[1] if parts[0] == "container" else context.first_of(parts[0], "volume"))
        changed["volumes_from"] = sources
    return changed


# -- networks and volumes


def _network_create(context: Context, step: Step) -> None:
    key = step.data["key"]
    network = context.project.networks[key]
    name = network.get("name", key)
    context.report(step.subject, "Creating")
    ipam = network.get("ipam") or {}
    pools = [
        {
            field: value
            for field, value in (
                ("Subnet", pool.get("subnet")), ("IPRange", pool.get("ip_range")), ("Gateway", pool.get("gateway")),
                ("AuxiliaryAddresses", pool.get("aux_addresses")),
            ) if value
        }
        for pool in ipam.get("config") or ()
    ]  # fmt: skip
    body = {
        "Name": name,
        "Driver": network.get("driver", ""),
        "Options": network.get("driver_opts"),
        "Internal": bool(network.get("internal")),
        "Attachable": bool(network.get("attachable")),
        "IPAM": {"Driver": ipam.get("driver", ""), "Config": pools or None} if ipam.get("driver") or pools else None,
        "EnableIPv4": network.get("enable_ipv4"),
        "EnableIPv6": network.get("enable_ipv6"),
        "Labels": {
            **(network.get("labels") or {}),
            labels.HASH: network_hash(network),
            labels.NETWORK: key,
            labels.PROJECT: context.project.name,
            labels.VERSION: labels.COMPOSE_VERSION,
        },
    }
    try:
        context.engine.client.post("/networks/create", {k: v for k, v in body.items() if v is not None or k == "IPAM"})
    except ApiError as error:
        if error.status != CONFLICT or "already exists" not in error.message:
            raise ApiError(f"failed to create network {name}: {error.message}", error.status) from None
    context.report(step.subject, "Created")


def _network_detach(context: Context, step: Step) -> None:
    body = {"Container": step.data["container"], "Force": True}
    try:
        context.engine.client.post(f"/networks/{step.data['network']}/disconnect", body)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise


def _network_remove(context: Context, step: Step) -> None:
    _remove(context, step, f"/networks/{step.data['id']}")


def _volume_create(context: Context, step: Step) -> None:
    key = step.data["key"]
    volume = context.project.volumes[key]
    context.report(step.subject, "Creating")
    body = {
        "Name": volume.get("name", key),
        "Driver": volume.get("driver", ""),
        "DriverOpts": volume.get("driver_opts"),
        "Labels": {
            **(volume.get("labels") or {}),
            labels.HASH: volume_hash(volume),
            labels.PROJECT: context.project.name,
            labels.VERSION: labels.COMPOSE_VERSION,
            labels.VOLUME: key,
        },
    }
    context.engine.client.post("/volumes/create", {k: v for k, v in body.items() if v})
    context.report(step.subject, "Created")


def _volume_remove(context: Context, step: Step) -> None:
    _remove(context, step, f"/volumes/{quote(step.data['name'])}", force=True)


def _image_remove(context: Context, step: Step) -> None:
    _remove(context, step, f"/images/{quote(step.data['name'], safe='/:@')}")


def _remove(context: Context, step: Step, path: str, **parameters: Any) -> None:
    """Takes away what may be in use by others, or be gone already: both are said, neither is a failure."""
    context.report(step.subject, "Removing")
    try:
        context.engine.client.delete(path, **parameters)
    except ApiError as error:
        if error.status == NOT_FOUND:
            context.report(step.subject, "Warning: No resource found to remove")
            return
        if error.status == CONFLICT or (error.status == 403 and "active endpoints" in error.message):
            context.report(step.subject, "Resource is still in use")
            return
        raise
    context.report(step.subject, "Removed")


# -- containers


def make_container(context: Context, wanted: Wanted, name: str = "") -> str:
    """Creates a container; its id. The engine's warnings are kept."""
    project = context.project
    platform = wanted.service.get("platform") or project.environment.get("DOCKER_DEFAULT_PLATFORM", "")
    target = "/containers/create" + query({"name": name or wanted.name, "platform": platform})
    answer = context.engine.client.post(target, create_body(project, wanted))
    context.warnings += answer.get("Warnings") or []
    return str(answer["Id"])


def wanted_of(context: Context, step: Step, **more: Any) -> Wanted:
    """The container that a step is to make."""
    name = step.data["service"]
    service = context.project.services[name]
    image = context.observed.images.get(image_name(context.project, name, service), {})
    return Wanted(
        resolve_references(context, service),
        name,
        step.data["number"],
        step.data["name"],
        image.get("Id", ""),
        tuple(step.data.get("links") or ()),
        **more,
    )


def _container_create(context: Context, step: Step) -> None:
    context.report(step.subject, "Creating")
    id = make_container(context, wanted_of(context, step))
    context.remember(step.data["service"], step.data["name"], id)
    context.report(step.subject, "Created")


def _container_recreate(context: Context, step: Step) -> None:
    """The new one under a name for the time being, then the old one goes and leaves it its own."""
    old, name, service = step.data["replaces"], step.data["name"], step.data["service"]
    context.report(step.subject, "Recreate")
    definition = context.project.services[service]
    short = definition.get("container_name") or f"{service}-{step.data['number']}"
    mounts = _inherited(context, service, definition, old) if step.data["inherit"] else {}
    wanted = wanted_of(context, step, labels={labels.REPLACE: str(short)}, inherited=mounts)
    temporary = f"{old['Id'][:12]}_{name}"
    try:
        id = make_container(context, wanted, temporary)
    except ApiError as error:
        if error.status != CONFLICT or "name" not in error.message:
            raise
        # Left behind by a run that was killed here.
        context.engine.client.delete(f"/containers/{quote(temporary)}", force=True)
        id = make_container(context, wanted, temporary)
    client = context.engine.client
    stop_container(context, old["Id"], step.data["timeout"])
    try:
        client.delete(f"/containers/{old['Id']}")
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
    client.post(f"/containers/{id}/rename", name=name)
    context.remember(service, name, id)
    context.report(step.subject, "Recreated")


def _inherited(context: Context, name: str, service: Service, old: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Anonymous volumes of the container before, by target."""
    image = context.observed.images.get(image_name(context.project, name, service), {})
    declared = set(((image.get("Config") or {}).get("Volumes")) or ())
    declared |= {item.get("target", "") for item in service.get("volumes") or () if not item.get("source")}
    mounts = {}
    for mount in old.get("Mounts") or ():
        target = mount.get("Destination", "")
        if mount.get("Type") == "tmpfs" or target not in declared:
            continue
        source = mount.get("Name") if mount.get("Type") == "volume" else mount.get("Source")
        mounts[target] = {"Type": mount.get("Type"), "Source": source, "Target": target,
                          "ReadOnly": not mount.get("RW", True)}  # fmt: skip
    return mounts


def stop_container(context: Context, id: str, timeout: int | None) -> None:
    """Stops; nothing happens to what has stopped or gone."""
    try:
        context.engine.client.post(f"/containers/{id}/stop" + query({"t": None if timeout is None else str(timeout)}))
    except ApiError as error:
        if error.status not in (NOT_FOUND, NOT_MODIFIED):
            raise


def _container_stop(context: Context, step: Step) -> None:
    context.report(step.subject, "Stopping")
    _run_pre_stop(context, step)
    stop_container(context, step.data["container"], step.data["timeout"])
    context.report(step.subject, "Stopped")


def _run_pre_stop(context: Context, step: Step) -> None:
    service = context.project.all_services().get(step.data["service"]) or {}
    for hook in service.get("pre_stop") or ():
        try:
            run_hook(context, step.data["container"], step.data["service"], service, hook)
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise
            return


def _container_remove(context: Context, step: Step) -> None:
    id = step.data["container"]
    _container_stop(context, step)
    context.report(step.subject, "Removing")
    try:
        context.engine.client.delete(f"/containers/{id}", force=True, v=step.data.get("volumes"))
    except ApiError as error:
        if error.status not in (NOT_FOUND, CONFLICT):
            raise
    context.report(step.subject, "Removed")


def _container_start(context: Context, step: Step) -> None:
    name = step.data["service"]
    service = context.project.services.get(name) or {}
    id = step.data.get("container") or context.id_of(step.data["name"])
    inject(context, name, service, id)
    context.report(step.subject, "Starting")
    context.engine.client.post(f"/containers/{id}/start")
    for hook in service.get("post_start") or ():
        run_hook(context, id, name, service, hook)
    context.report(step.subject, "Started")


def inject(context: Context, name: str, service: Service, id: str) -> None:
    """Puts secrets and configs without a file of the host into a container that has not started."""
    for target, content, how in injected_files(context.project, name, service):
        owned = bool(how.get("uid") or how.get("gid"))
        path = f"/containers/{id}/archive" + query({"path": "/", "copyUIDGID": owned})
        response = context.engine.client.upload("PUT", path, [_archive(target, content, how)])
        response.read_all()
        response.close()


def _archive(target: str, content: bytes, how: Mapping[str, Any]) -> bytes:
    import io
    import tarfile  # late: few projects have such files, and it costs as much as the plan

    member = tarfile.TarInfo(target.lstrip("/"))
    member.size, member.mtime = len(content), int(time.time())
    member.mode = how.get("mode") if how.get("mode") is not None else 0o444  # type: ignore[assignment]
    member.uid, member.gid = (int(how.get(field) or 0) for field in ("uid", "gid"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def run_hook(context: Context, container: str, name: str, service: Service, hook: Mapping[str, Any]) -> None:
    """Runs a hook to its end; raises WharfError when it fails."""
    client = context.engine.client
    body = {
        "User": hook.get("user", ""),
        "Privileged": bool(hook.get("privileged")),
        "Env": environment_list(hook.get("environment") or {}),
        "WorkingDir": hook.get("working_dir", ""),
        "Cmd": hook.get("command") or [],
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": bool(service.get("tty")),
    }
    id = client.post(f"/containers/{container}/exec", body)["Id"]
    connection, _ = client.hijack(f"/exec/{id}/start", {"Detach": False, "Tty": bool(service.get("tty"))})
    try:
        while data := connection.receive():
            if context.hook_output is not None:
                context.hook_output(container, data)
    finally:
        connection.close()
    code = int(client.get(f"/exec/{id}/json").get("ExitCode") or 0)
    if code:
        raise WharfError(f"{name} hook exited with status {code}")


def _running(context: Context, step: Step) -> None:
    context.report(step.subject, "Running")


def _provider(context: Context, step: Step) -> None:
    from wharf.compose.provider import run_provider

    verb = "up" if step.action == "provider-up" else "down"
    run_provider(context, step.data["service"], verb)


ACTIONS: dict[str, Callable[[Context, Step], None]] = {
    "network-create": _network_create, "network-remove": _network_remove, "network-detach": _network_detach,
    "volume-create": _volume_create, "volume-remove": _volume_remove, "image-remove": _image_remove,
    "container-create": _container_create, "container-recreate": _container_recreate,
    "container-stop": _container_stop, "container-remove": _container_remove, "container-start": _container_start,
    "running": _running, "provider-up": _provider, "provider-down": _provider,
}  # fmt: skip
