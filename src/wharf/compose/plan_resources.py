"""The networks and volumes that `up` makes, leaves or makes again (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from wharf.compose import labels
from wharf.compose.hashes import network_hash, volume_hash
from wharf.compose.planning import Planning
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def plan_resources(work: Planning) -> None:
    """Steps for all networks and volumes of the project; raises Invalid."""
    for key in sorted(work.project.networks):
        _network(work, key, work.project.networks[key])
    for key in sorted(work.project.volumes):
        _volume(work, key, work.project.volumes[key])


def _network(work: Planning, key: str, network: Mapping[str, Any]) -> None:
    name = network.get("name", key)
    there = work.observed.networks.get(name)
    if network.get("external"):
        if there is None:
            raise Invalid(f"network {name} declared as external, but could not be found")
        return
    after: list[str] = []
    if there is not None:
        if _keeps(work, key, name, network, there):
            return
        after = _drop_network(work, key, name, there)
    work.resources[f"network:{key}"] = work.plan.add(
        f"network:{key}", "network-create", f"Network {name}", after, {"key": key}
    )


def _keeps(work: Planning, key: str, name: str, network: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    found = there.get("Labels") or {}
    owner = found.get(labels.PROJECT)
    if owner != work.project.name:
        why = "by compose" if owner is None else f'for project "{work.project.name}"'
        work.plan.warnings.append(
            f"a network with name {name} exists but was not created {why}.\n"
            "Set `external: true` to use an existing network"
        )
    if found.get(labels.NETWORK) != key:
        raise Invalid(
            f"network {name} was found but has incorrect label {labels.NETWORK} set to "
            f'"{found.get(labels.NETWORK, "")}" (expected: "{key}")'
        )
    return found.get(labels.HASH, "") in ("", network_hash(dict(network)))


def _drop_network(work: Planning, key: str, name: str, there: Mapping[str, Any]) -> list[str]:
    """A network that is described otherwise now: its containers leave it and are made again."""
    work.replaced_networks.add(key)
    stops = []
    for container in work.observed.containers:
        attached = (container.get("NetworkSettings") or {}).get("Networks") or {}
        if any(item.get("NetworkID") == there.get("Id") for item in attached.values()):
            stop = work.stop(container, labels.service_of(container))
            detach = f"detach:{container['Id']}:{key}"
            subject = f"Container {labels.name_of(container)}"
            data = {"container": container["Id"], "network": there.get("Id")}
            stops.append(work.plan.add(detach, "network-detach", subject, [stop], data))
    gone = f"network-remove:{key}"
    return [work.plan.add(gone, "network-remove", f"Network {name}", stops, {"id": there.get("Id")})]


def _volume(work: Planning, key: str, volume: Mapping[str, Any]) -> None:
    name = volume.get("name", key)
    there = work.observed.volumes.get(name)
    if there is None:
        if volume.get("external"):
            raise Invalid(f'external volume "{name}" not found')
        work.resources[f"volume:{key}"] = work.plan.add(
            f"volume:{key}", "volume-create", f"Volume {name}", (), {"key": key}
        )
        return
    if volume.get("external"):
        return
    found = there.get("Labels") or {}
    _warn_of_volume(work, name, found)
    if found.get(labels.HASH) in (None, volume_hash(dict(volume))):
        return
    if not work.options.recreate_volumes:
        work.plan.warnings.append(
            f'volume "{name}" exists but doesn\'t match configuration in compose file; it stays as it is '
            "(--yes recreates it, its data is lost then)"
        )
        return
    _recreate_volume(work, key, name)


def _warn_of_volume(work: Planning, name: str, found: Mapping[str, str]) -> None:
    owner = found.get(labels.PROJECT)
    use = "Use `external: true` to use an existing volume"
    if owner is None:
        work.plan.warnings.append(f'volume "{name}" already exists but was not created by Docker Compose. {use}')
    elif owner != work.project.name:
        work.plan.warnings.append(
            f'volume "{name}" already exists but was created for project "{owner}" (expected '
            f'"{work.project.name}"). {use}'
        )


def _recreate_volume(work: Planning, key: str, name: str) -> None:
    removes = []
    for container in work.observed.containers:
        if any(mount.get("Name") == name for mount in container.get("Mounts") or ()):
            removes.append(work.remove(container))
            container["Labels"] = {**container["Labels"], labels.SERVICE: "", labels.ONE_OFF: "True"}
    gone = work.plan.add(f"volume-remove:{key}", "volume-remove", f"Volume {name}", removes, {"name": name})
    work.resources[f"volume:{key}"] = work.plan.add(
        f"volume:{key}", "volume-create", f"Volume {name}", [gone], {"key": key}
    )
