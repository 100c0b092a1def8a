"""Whether a container that is there is still what its service asks for (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from wharf.compose import labels
from wharf.compose.create_body import image_name
from wharf.compose.hashes import service_hash
from wharf.compose.planning import DIVERGED, FORCE, Planning
from wharf.compose.project import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACES = ("network_mode", "ipc", "pid")


def resolved(work: Planning, service: Service) -> Service | None:
    """The service with `service:x` made the ids of containers that stay; None when one of them does not."""
    changed: Service = dict(service)
    for namespace in NAMESPACES:
        mode = str(service.get(namespace) or "")
        if mode.startswith("service:"):
            id = _kept_id(work, mode.removeprefix("service:"))
            if id is None:
                return None
            changed[namespace] = f"container:{id}"
    if service.get("volumes_from"):
        sources = []
        for source in service["volumes_from"]:
            parts = source.split(":")
            if parts[0] == "container":
                sources.append(parts[1])
                continue
            id = _kept_id(work, parts[0])
            if id is None:
                return None
            sources.append(id)
        changed["volumes_from"] = sources
    return changed


def _kept_id(work: Planning, name: str) -> str | None:
    targets = work.targets.get(name)
    first = min(targets, key=lambda target: target.name) if targets else None
    return str(first.there["Id"]) if first and first.there is not None and not first.made else None


def must_recreate(
    work: Planning, name: str, service: Service, resolved: Service | None, container: Mapping[str, Any]
) -> bool:
    """Whether the container is made again: by what was asked, its hash, its image, or a network or volume it lacks."""
    chosen = not work.options.services or name in work.options.services
    policy = work.options.recreate if chosen else work.options.recreate_dependencies
    if policy != DIVERGED:
        return policy == FORCE
    found = container.get("Labels") or {}
    image = work.observed.images.get(image_name(work.project, name, service), {}).get("Id", "")
    if resolved is None or found.get(labels.HASH) != service_hash(resolved) or found.get(labels.IMAGE, "") != image:
        return True
    return _lacks_network(work, service, container) or _lacks_volume(work, service, container)


def _lacks_network(work: Planning, service: Service, container: Mapping[str, Any]) -> bool:
    if container.get("State") != "running":
        return bool(work.replaced_networks & set(service.get("networks") or ()))
    attached = ((container.get("NetworkSettings") or {}).get("Networks") or {}).values()
    ids = {item.get("NetworkID") for item in attached}
    for key in service.get("networks") or ():
        name = work.project.networks[key].get("name", key)
        there = work.observed.networks.get(name)
        if key in work.replaced_networks or there is None or there.get("Id") not in ids:
            return True
    return False


def _lacks_volume(work: Planning, service: Service, container: Mapping[str, Any]) -> bool:
    mounted = {mount.get("Name") for mount in container.get("Mounts") or () if mount.get("Type") == "volume"}
    return any(
        volume.get("type") == "volume"
        and volume.get("source")
        and work.project.volumes[volume["source"]].get("name") not in mounted
        for volume in service.get("volumes") or ()
    )
