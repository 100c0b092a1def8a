"""What is there of a project -> the steps that take it away (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wharf.compose import labels
from wharf.compose.create_body import image_name
from wharf.compose.observed import Observed
from wharf.compose.order import in_order
from wharf.compose.plan_services import orphaned
from wharf.compose.project import Project
from wharf.compose.record import Record
from wharf.compose.steps import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class DownOptions(Record, frozen=True):
    """What `down` was asked."""

    services: tuple[str, ...] = ()
    volumes: bool = False
    images: str = ""
    """`all`, `local` or nothing."""
    remove_orphans: bool = False
    timeout: int | None = None


def plan_down(project: Project, observed: Observed, options: DownOptions = DownOptions()) -> Plan:
    """Containers, dependents first; then networks, images and volumes."""
    plan = Plan()
    removes = _containers(plan, project, observed, options)
    if options.remove_orphans:
        for container in orphaned(project, observed.containers):
            removes.setdefault(labels.service_of(container), []).append(_remove(plan, container, options, ()))
    after = [step for steps in removes.values() for step in steps]
    if not options.services:
        _networks(plan, project, observed)
    if options.images:
        _images(plan, project, observed, options.images, after)
    if options.volumes and not options.services:
        _volumes(plan, project, observed)
    if not plan.steps:
        plan.warnings.append(f'Warning: No resource found to remove for project "{project.name}".')
    return plan


def _remove(plan: Plan, container: Mapping[str, Any], options: DownOptions, after: Any) -> str:
    data = {
        "container": container["Id"],
        "service": labels.service_of(container),
        "timeout": options.timeout,
        "volumes": options.volumes,
    }
    return plan.add(
        f"remove:{container['Id']}", "container-remove", f"Container {labels.name_of(container)}", after, data
    )


def _containers(plan: Plan, project: Project, observed: Observed, options: DownOptions) -> dict[str, list[str]]:
    services = project.all_services()
    removes: dict[str, list[str]] = {}
    for name in reversed(in_order(services)):
        if options.services and name not in options.services:
            continue
        after = [
            step
            for other, service in services.items()
            if name in (service.get("depends_on") or {})
            for step in removes.get(other, ())
        ]
        if services[name].get("provider") is not None:
            removes[name] = [
                plan.add(f"provider:{name}", "provider-down", f"Provider {name}", after, {"service": name})
            ]
            continue
        removes[name] = [_remove(plan, item, options, after) for item in observed.of_service(name)]
    return removes


def _after_users(plan: Plan, observed: Observed, name: str, used: Callable[[Mapping[str, Any]], set[str]]) -> list[str]:
    """The removals of the containers that use a thing: it goes with the last of them."""
    steps = [f"remove:{container['Id']}" for container in observed.containers if name in used(container)]
    return [step for step in steps if step in plan.ids]


def _networks(plan: Plan, project: Project, observed: Observed) -> None:
    for key, network in sorted(project.networks.items()):
        name = network.get("name", key)
        there = observed.networks.get(name)
        found = (there or {}).get("Labels") or {}
        if network.get("external") or there is None or found.get(labels.PROJECT) != project.name:
            continue
        after = _after_users(plan, observed, name, _networks_of)
        plan.add(
            f"network-remove:{key}", "network-remove", f"Network {name}", after, {"id": there["Id"], "used": "warn"}
        )


def _networks_of(container: Mapping[str, Any]) -> set[str]:
    return set((container.get("NetworkSettings") or {}).get("Networks") or ())


def _volumes(plan: Plan, project: Project, observed: Observed) -> None:
    for key, volume in sorted(project.volumes.items()):
        name = volume.get("name", key)
        if not volume.get("external") and name in observed.volumes:
            after = _after_users(plan, observed, name, _volumes_of)
            plan.add(f"volume-remove:{key}", "volume-remove", f"Volume {name}", after, {"name": name, "used": "warn"})


def _volumes_of(container: Mapping[str, Any]) -> set[str]:
    return {mount.get("Name", "") for mount in container.get("Mounts") or ()}


def _images(plan: Plan, project: Project, observed: Observed, mode: str, after: list[str]) -> None:
    """`local`: what was built without a name of its own; `all`: those with one too."""
    names = []
    for name, service in project.all_services().items():
        if mode == "all" or (not service.get("image") and service.get("build") is not None):
            names.append(image_name(project, name, service))
    for name in dict.fromkeys(names):
        if name in observed.images:
            plan.add(f"image-remove:{name}", "image-remove", f"Image {name}", after, {"name": name})


def project_of(name: str, observed: Observed) -> Project:
    """A project as its containers, networks and volumes tell it: for commands without a file."""
    services: dict[str, Any] = {}
    for container in observed.containers:
        if labels.is_one_off(container):
            continue
        service = services.setdefault(labels.service_of(container), {"image": container.get("Image", ""), "scale": 0})
        service["scale"] += 1
        depends = (container.get("Labels") or {}).get(labels.DEPENDS_ON, "")
        if depends:
            service["depends_on"] = dict(_dependency(text) for text in depends.split(","))
    networks = {
        item["Labels"].get(labels.NETWORK, key): {"name": key}
        for key, item in observed.networks.items()
        if (item.get("Labels") or {}).get(labels.PROJECT) == name
    }
    volumes = {
        item["Labels"].get(labels.VOLUME, key): {"name": key}
        for key, item in observed.volumes.items()
        if (item.get("Labels") or {}).get(labels.PROJECT) == name
    }
    return Project(name, "", (), {}, services, networks=networks, volumes=volumes)


def _dependency(text: str) -> tuple[str, dict[str, Any]]:
    name, condition, restart = [*text.split(":"), "", ""][:3]
    how = {"condition": condition or "running_or_healthy", "restart": restart != "false", "required": False}
    return name, how
