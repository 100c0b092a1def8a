"""The containers that `up` makes, makes again, leaves or removes (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from wharf.compose import labels
from wharf.compose.create_body import container_name, scale_of
from wharf.compose.diverged import NAMESPACES, must_recreate, resolved
from wharf.compose.planning import Planning, Target
from wharf.compose.project import Project, Service
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def plan_service(work: Planning, name: str) -> None:
    """The containers that a service shall have: kept, made again, new or removed. Raises Invalid."""
    service = work.project.services[name]
    if service.get("provider") is not None:
        after = [step for other in service.get("depends_on") or () for step in work.made(other)]
        step = work.plan.add(f"provider:{name}", "provider-up", f"Provider {name}", after, {"service": name})
        work.resources[f"provider:{name}"] = step
        work.targets[name] = []
        return
    count = scale_of(service)
    if count > 1 and service.get("container_name"):
        raise Invalid(
            f'WARNING: The "{name}" service is using the custom container name "{service["container_name"]}". '
            "Docker requires each container to have a unique name. Remove the custom name to scale the service"
        )
    there = work.observed.of_service(name)
    if work.observed.volumes and any(not item.get("Labels", {}).get(labels.SERVICE) for item in there):
        there = []
    wanted = resolved(work, service)
    stale = {item["Id"]: must_recreate(work, name, service, wanted, item) for item in there}
    ordered = sorted(there, key=lambda item: (stale[item["Id"]], labels.number_of(item)))
    targets = []
    for index, container in enumerate(ordered):
        number = labels.number_of(container)
        if index >= count:
            work.remove(container)
        elif stale[container["Id"]]:
            targets.append(_recreate(work, name, service, container, number))
        else:
            targets.append(Target(labels.name_of(container), number, container))
    next_number = max((labels.number_of(item) for item in there), default=0) + 1
    for offset in range(count - len(there)):
        targets.append(_create(work, name, service, next_number + offset))
    work.targets[name] = sorted(targets, key=lambda target: target.number)


def needs_of(work: Planning, service: Service) -> list[str]:
    """What must be there before a container of the service can be made, or one that was made before can start."""
    needs = [work.resources[f"network:{key}"] for key in service.get("networks") or ()
             if f"network:{key}" in work.resources]  # fmt: skip
    needs += [
        work.resources[f"volume:{item['source']}"]
        for item in service.get("volumes") or ()
        if item.get("type") == "volume" and f"volume:{item.get('source')}" in work.resources
    ]
    for other in _references(work, service):
        needs += work.made(other)
    needs += [work.resources[f"provider:{other}"] for other in service.get("depends_on") or ()
              if f"provider:{other}" in work.resources]  # fmt: skip
    return needs


def _references(work: Planning, service: Service) -> list[str]:
    others = [mode.removeprefix("service:") for mode in (str(service.get(space) or "") for space in NAMESPACES)
              if mode.startswith("service:")]  # fmt: skip
    others += [item.split(":")[0] for item in service.get("volumes_from") or ()
               if not item.startswith("container:")]  # fmt: skip
    return others + [item.split(":")[0] for item in service.get("links") or ()]


def _links(work: Planning, service: Service, number: int) -> list[str]:
    links = []
    for link in service.get("links") or ():
        other, _, alias = link.partition(":")
        for target in work.targets.get(other, ()):
            for shown in (alias or other, f"{other}-{number}", f"{work.project.name}-{other}-{number}"):
                links.append(f"{target.name}:{shown}")
    for link in service.get("external_links") or ():
        other, _, alias = link.partition(":")
        links.append(f"{other}:{alias or other}")
    return links


def _create(work: Planning, name: str, service: Service, number: int) -> Target:
    shown = container_name(work.project, name, service, number)
    data = {"service": name, "number": number, "name": shown, "links": _links(work, service, number)}
    step = work.plan.add(f"create:{shown}", "container-create", f"Container {shown}", needs_of(work, service), data)
    return Target(shown, number, None, step)


def _recreate(work: Planning, name: str, service: Service, container: dict[str, Any], number: int) -> Target:
    shown = container_name(work.project, name, service, number)
    after = [*needs_of(work, service), *_stop_dependents(work, name)]
    data = {
        "service": name, "number": number, "name": shown, "links": _links(work, service, number),
        "replaces": container, "inherit": work.options.inherit, "timeout": work.options.timeout,
    }  # fmt: skip
    subject = f"Container {labels.name_of(container)}"
    step = work.plan.add(f"create:{shown}", "container-recreate", subject, after, data)
    return Target(shown, number, container, step)


def _stop_dependents(work: Planning, name: str) -> list[str]:
    """Services with `restart: true` are stopped before what they depend on is made again."""
    stops = []
    for other, service in work.project.services.items():
        how = (service.get("depends_on") or {}).get(name)
        if how and how.get("restart"):
            stops += [work.stop(item, other) for item in work.observed.of_service(other)
                      if item.get("State") == "running"]  # fmt: skip
    return stops


def plan_orphans(work: Planning) -> None:
    """Containers of services that the file has not are removed if asked, else told of."""
    orphans = orphaned(work.project, work.observed.containers)
    if not orphans or work.options.ignore_orphans:
        return
    if work.options.remove_orphans:
        for container in orphans:
            work.remove(container)
        return
    names = " ".join(labels.name_of(item) for item in orphans)
    work.plan.warnings.append(
        f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in your "
        "compose file, you can run this command with the --remove-orphans flag to clean it up."
    )


def orphaned(project: Project, containers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Containers of services that the file has not, and those of `run` that have ended."""
    known = project.all_services()
    return [
        item
        for item in containers
        if (
            item.get("State") in ("exited", "dead") if labels.is_one_off(item) else labels.service_of(item) not in known
        )
    ]
