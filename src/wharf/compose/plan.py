"""A wanted project and what is there -> the steps that make the one of the other (pure).

A step names what it does to what, with which data, and after which other steps. `apply.py` does them; several at once
where nothing orders them. `--dry-run` prints them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wharf.compose import labels
from wharf.compose.create_body import container_name, image_name, scale_of
from wharf.compose.hashes import network_hash, service_hash, volume_hash
from wharf.compose.observed import Observed
from wharf.compose.order import in_order
from wharf.compose.project import Project, Service
from wharf.errors import Invalid

DIVERGED, FORCE, NEVER = "diverged", "force", "never"
_NAMESPACES = ("network_mode", "ipc", "pid")


@dataclass(frozen=True)
class Step:
    """One change, or one wait."""

    id: str
    action: str
    subject: str
    """As it is shown: `Container shop-db-1`."""
    after: frozenset[str] = frozenset()
    data: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """A line of `--dry-run`."""
        return f"{self.subject}  {DESCRIPTIONS.get(self.action, self.action.capitalize())}"


DESCRIPTIONS = {
    "network-create": "Create", "network-remove": "Remove", "network-detach": "Detach", "volume-create": "Create",
    "volume-remove": "Remove", "container-create": "Create", "container-recreate": "Recreate",
    "container-remove": "Remove", "container-stop": "Stop", "container-start": "Start", "wait": "Wait",
    "image-remove": "Remove", "provider-up": "Up", "provider-down": "Down", "running": "Running",
}  # fmt: skip


@dataclass
class Plan:
    """Steps in an order that respects what comes after what."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def add(
        self, id: str, action: str, subject: str, after: Iterable[str] = (), data: Mapping[str, Any] | None = None
    ) -> str:
        """Appends a step; its id."""
        self.ids.add(id)
        self.steps.append(Step(id, action, subject, frozenset(after), data or {}))
        return id


@dataclass(frozen=True)
class UpOptions:
    """What `up` was asked."""

    services: tuple[str, ...] = ()
    recreate: str = DIVERGED
    recreate_dependencies: str = DIVERGED
    inherit: bool = True
    remove_orphans: bool = False
    ignore_orphans: bool = False
    start: bool = True
    wait: bool = False
    recreate_volumes: bool = False
    timeout: int | None = None


def plan_up(project: Project, observed: Observed, options: UpOptions = UpOptions()) -> Plan:
    """Networks, volumes, containers, starts in the order of conditions, and the waits of `--wait`. Raises Invalid."""
    return _Up(project, observed, options).plan()


@dataclass
class _Target:
    """A container that shall be there."""

    name: str
    number: int
    there: dict[str, Any] | None
    made: str = ""
    """The step that makes it, if any."""


class _Up:
    def __init__(self, project: Project, observed: Observed, options: UpOptions) -> None:
        self._project = project
        self._observed = observed
        self._options = options
        self._plan = Plan()
        self._resources: dict[str, str] = {}
        self._targets: dict[str, list[_Target]] = {}
        self._started: dict[str, list[str]] = {}
        self._stopped: dict[str, str] = {}
        self._replaced_networks: set[str] = set()

    def plan(self) -> Plan:
        for key in sorted(self._project.networks):
            self._network(key, self._project.networks[key])
        for key in sorted(self._project.volumes):
            self._volume(key, self._project.volumes[key])
        self._orphans()
        order = in_order(self._project.services)
        for name in order:
            self._service(name)
        if self._options.start:
            for name in order:
                self._start(name)
            if self._options.wait:
                self._waits()
        return self._plan

    # -- networks and volumes

    def _network(self, key: str, network: Mapping[str, Any]) -> None:
        name = network.get("name", key)
        there = self._observed.networks.get(name)
        if network.get("external"):
            if there is None:
                raise Invalid(f"network {name} declared as external, but could not be found")
            return
        after: list[str] = []
        if there is not None:
            if self._keeps(key, name, network, there):
                return
            after = self._drop_network(key, name, there)
        self._resources[f"network:{key}"] = self._plan.add(
            f"network:{key}", "network-create", f"Network {name}", after, {"key": key}
        )

    def _keeps(self, key: str, name: str, network: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
        found = there.get("Labels") or {}
        owner = found.get(labels.PROJECT)
        if owner != self._project.name:
            why = "by compose" if owner is None else f'for project "{self._project.name}"'
            self._plan.warnings.append(
                f"a network with name {name} exists but was not created {why}.\n"
                "Set `external: true` to use an existing network"
            )
        if found.get(labels.NETWORK) != key:
            raise Invalid(
                f"network {name} was found but has incorrect label {labels.NETWORK} set to "
                f'"{found.get(labels.NETWORK, "")}" (expected: "{key}")'
            )
        return found.get(labels.HASH, "") in ("", network_hash(dict(network)))

    def _drop_network(self, key: str, name: str, there: Mapping[str, Any]) -> list[str]:
        """A network that is described otherwise now: its containers leave it and are made again."""
        self._replaced_networks.add(key)
        stops = []
        for container in self._observed.containers:
            attached = (container.get("NetworkSettings") or {}).get("Networks") or {}
            if any(item.get("NetworkID") == there.get("Id") for item in attached.values()):
                stop = self._stop(container, labels.service_of(container))
                detach = f"detach:{container['Id']}:{key}"
                subject = f"Container {labels.name_of(container)}"
                data = {"container": container["Id"], "network": there.get("Id")}
                stops.append(self._plan.add(detach, "network-detach", subject, [stop], data))
        gone = f"network-remove:{key}"
        return [self._plan.add(gone, "network-remove", f"Network {name}", stops, {"id": there.get("Id")})]

    def _volume(self, key: str, volume: Mapping[str, Any]) -> None:
        name = volume.get("name", key)
        there = self._observed.volumes.get(name)
        if there is None:
            if volume.get("external"):
                raise Invalid(f'external volume "{name}" not found')
            self._resources[f"volume:{key}"] = self._plan.add(
                f"volume:{key}", "volume-create", f"Volume {name}", (), {"key": key}
            )
            return
        if volume.get("external"):
            return
        found = there.get("Labels") or {}
        self._warn_of_volume(name, found)
        if found.get(labels.HASH) in (None, volume_hash(dict(volume))):
            return
        if not self._options.recreate_volumes:
            self._plan.warnings.append(
                f'volume "{name}" exists but doesn\'t match configuration in compose file; it stays as it is '
                "(--yes recreates it, its data is lost then)"
            )
            return
        self._recreate_volume(key, name)

    def _warn_of_volume(self, name: str, found: Mapping[str, str]) -> None:
        owner = found.get(labels.PROJECT)
        use = "Use `external: true` to use an existing volume"
        if owner is None:
            self._plan.warnings.append(f'volume "{name}" already exists but was not created by Docker Compose. {use}')
        elif owner != self._project.name:
            self._plan.warnings.append(
                f'volume "{name}" already exists but was created for project "{owner}" (expected '
                f'"{self._project.name}"). {use}'
            )

    def _recreate_volume(self, key: str, name: str) -> None:
        removes = []
        for container in self._observed.containers:
            if any(mount.get("Name") == name for mount in container.get("Mounts") or ()):
                removes.append(self._remove(container))
                container["Labels"] = {**container["Labels"], labels.SERVICE: "", labels.ONE_OFF: "True"}
        gone = self._plan.add(f"volume-remove:{key}", "volume-remove", f"Volume {name}", removes, {"name": name})
        self._resources[f"volume:{key}"] = self._plan.add(
            f"volume:{key}", "volume-create", f"Volume {name}", [gone], {"key": key}
        )

    # -- containers that go

    def _orphans(self) -> None:
        orphans = orphaned(self._project, self._observed.containers)
        if not orphans or self._options.ignore_orphans:
            return
        if self._options.remove_orphans:
            for container in orphans:
                self._remove(container)
            return
        names = " ".join(labels.name_of(item) for item in orphans)
        self._plan.warnings.append(
            f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in your "
            "compose file, you can run this command with the --remove-orphans flag to clean it up."
        )

    def _remove(self, container: Mapping[str, Any]) -> str:
        id = f"remove:{container['Id']}"
        if id not in self._plan.ids:
            data = {
                "container": container["Id"],
                "service": labels.service_of(container),
                "timeout": self._options.timeout,
            }
            self._plan.add(id, "container-remove", f"Container {labels.name_of(container)}", (), data)
        return id

    def _stop(self, container: Mapping[str, Any], service: str) -> str:
        id = f"stop:{container['Id']}"
        if id not in self._stopped:
            data = {"container": container["Id"], "service": service, "timeout": self._options.timeout}
            self._stopped[id] = self._plan.add(id, "container-stop", f"Container {labels.name_of(container)}", (), data)
        return id

    # -- services

    def _service(self, name: str) -> None:
        service = self._project.services[name]
        if service.get("provider") is not None:
            after = [step for other in service.get("depends_on") or () for step in self._made(other)]
            step = self._plan.add(f"provider:{name}", "provider-up", f"Provider {name}", after, {"service": name})
            self._resources[f"provider:{name}"] = step
            self._targets[name] = []
            return
        count = scale_of(service)
        if count > 1 and service.get("container_name"):
            raise Invalid(
                f'WARNING: The "{name}" service is using the custom container name "{service["container_name"]}". '
                "Docker requires each container to have a unique name. Remove the custom name to scale the service"
            )
        there = self._observed.of_service(name)
        if self._observed.volumes and any(not item.get("Labels", {}).get(labels.SERVICE) for item in there):
            there = []
        resolved = self._resolved(service)
        stale = {item["Id"]: self._must_recreate(name, service, resolved, item) for item in there}
        ordered = sorted(there, key=lambda item: (stale[item["Id"]], labels.number_of(item)))
        targets = []
        for index, container in enumerate(ordered):
            number = labels.number_of(container)
            if index >= count:
                self._remove(container)
            elif stale[container["Id"]]:
                targets.append(self._recreate(name, service, container, number))
            else:
                targets.append(_Target(labels.name_of(container), number, container))
        next_number = max((labels.number_of(item) for item in there), default=0) + 1
        for offset in range(count - len(there)):
            targets.append(self._create(name, service, next_number + offset))
        self._targets[name] = sorted(targets, key=lambda target: target.number)

    def _resolved(self, service: Service) -> Service | None:
        """The service with `service:x` made the ids of containers that stay; None when one of them does not."""
        changed: Service = dict(service)
        for namespace in _NAMESPACES:
            mode = str(service.get(namespace) or "")
            if mode.startswith("service:"):
                id = self._kept_id(mode.removeprefix("service:"))
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
                id = self._kept_id(parts[0])
                if id is None:
                    return None
                sources.append(id)
            changed["volumes_from"] = sources
        return changed

    def _kept_id(self, name: str) -> str | None:
        targets = self._targets.get(name)
        first = min(targets, key=lambda target: target.name) if targets else None
        return str(first.there["Id"]) if first and first.there is not None and not first.made else None

    def _must_recreate(
        self, name: str, service: Service, resolved: Service | None, container: Mapping[str, Any]
    ) -> bool:
        chosen = not self._options.services or name in self._options.services
        policy = self._options.recreate if chosen else self._options.recreate_dependencies
        if policy != DIVERGED:
            return policy == FORCE
        found = container.get("Labels") or {}
        image = self._observed.images.get(image_name(self._project, name, service), {}).get("Id", "")
        if resolved is None or found.get(labels.HASH) != service_hash(resolved) or found.get(labels.IMAGE, "") != image:
            return True
        return self._lacks_network(service, container) or self._lacks_volume(service, container)

    def _lacks_network(self, service: Service, container: Mapping[str, Any]) -> bool:
        if container.get("State") != "running":
            return bool(self._replaced_networks & set(service.get("networks") or ()))
        attached = ((container.get("NetworkSettings") or {}).get("Networks") or {}).values()
        ids = {item.get("NetworkID") for item in attached}
        for key in service.get("networks") or ():
            name = self._project.networks[key].get("name", key)
            there = self._observed.networks.get(name)
            if key in self._replaced_networks or there is None or there.get("Id") not in ids:
                return True
        return False

    def _lacks_volume(self, service: Service, container: Mapping[str, Any]) -> bool:
        mounted = {mount.get("Name") for mount in container.get("Mounts") or () if mount.get("Type") == "volume"}
        return any(
            volume.get("type") == "volume"
            and volume.get("source")
            and self._project.volumes[volume["source"]].get("name") not in mounted
            for volume in service.get("volumes") or ()
        )

    def _needs(self, name: str, service: Service) -> list[str]:
        """What must be there before a container of the service can be made."""
        needs = [self._resources[f"network:{key}"] for key in service.get("networks") or ()
                 if f"network:{key}" in self._resources]  # fmt: skip
        needs += [
            self._resources[f"volume:{item['source']}"]
            for item in service.get("volumes") or ()
            if item.get("type") == "volume" and f"volume:{item.get('source')}" in self._resources
        ]
        for other in self._references(service):
            needs += self._made(other)
        needs += [self._resources[f"provider:{other}"] for other in service.get("depends_on") or ()
                  if f"provider:{other}" in self._resources]  # fmt: skip
        return needs

    def _references(self, service: Service) -> list[str]:
        others = [mode.removeprefix("service:") for mode in (str(service.get(space) or "") for space in _NAMESPACES)
                  if mode.startswith("service:")]  # fmt: skip
        others += [item.split(":")[0] for item in service.get("volumes_from") or ()
                   if not item.startswith("container:")]  # fmt: skip
        return others + [item.split(":")[0] for item in service.get("links") or ()]

    def _made(self, name: str) -> list[str]:
        made = [target.made for target in self._targets.get(name, ()) if target.made]
        return made + ([self._resources[f"provider:{name}"]] if f"provider:{name}" in self._resources else [])

    def _links(self, service: Service, number: int) -> list[str]:
        links = []
        for link in service.get("links") or ():
            other, _, alias = link.partition(":")
            for target in self._targets.get(other, ()):
                for shown in (alias or other, f"{other}-{number}", f"{self._project.name}-{other}-{number}"):
                    links.append(f"{target.name}:{shown}")
        for link in service.get("external_links") or ():
            other, _, alias = link.partition(":")
            links.append(f"{other}:{alias or other}")
        return links

    def _create(self, name: str, service: Service, number: int) -> _Target:
        shown = container_name(self._project, name, service, number)
        data = {"service": name, "number": number, "name": shown, "links": self._links(service, number)}
        step = self._plan.add(
            f"create:{shown}", "container-create", f"Container {shown}", self._needs(name, service), data
        )
        return _Target(shown, number, None, step)

    def _recreate(self, name: str, service: Service, container: dict[str, Any], number: int) -> _Target:
        shown = container_name(self._project, name, service, number)
        after = [*self._needs(name, service), *self._stop_dependents(name)]
        data = {
            "service": name, "number": number, "name": shown, "links": self._links(service, number),
            "replaces": container, "inherit": self._options.inherit, "timeout": self._options.timeout,
        }  # fmt: skip
        subject = f"Container {labels.name_of(container)}"
        step = self._plan.add(f"create:{shown}", "container-recreate", subject, after, data)
        return _Target(shown, number, container, step)

    def _stop_dependents(self, name: str) -> list[str]:
        """Services with `restart: true` are stopped before what they depend on is made again."""
        stops = []
        for other, service in self._project.services.items():
            how = (service.get("depends_on") or {}).get(name)
            if how and how.get("restart"):
                stops += [self._stop(item, other) for item in self._observed.of_service(other)
                          if item.get("State") == "running"]  # fmt: skip
        return stops

    # -- starts

    def _start(self, name: str) -> None:
        service = self._project.services[name]
        if service.get("provider") is not None:
            self._started[name] = [self._resources[f"provider:{name}"]]
            return
        after = self._conditions(name, service)
        steps = []
        for target in self._targets[name]:
            there = target.there
            stopped = self._stopped.get(f"stop:{there['Id']}") if there else None
            subject = f"Container {target.name}"
            if not target.made and not stopped and there and there.get("State") == "running":
                steps.append(self._plan.add(f"start:{target.name}", "running", subject))
                continue
            before = [*after, *([target.made] if target.made else []), *([stopped] if stopped else [])]
            data = {"service": name, "name": target.name, "container": None if target.made else there and there["Id"]}
            steps.append(self._plan.add(f"start:{target.name}", "container-start", subject, before, data))
        self._started[name] = steps

    def _conditions(self, name: str, service: Service) -> list[str]:
        after: list[str] = []
        for other, how in (service.get("depends_on") or {}).items():
            if other not in self._project.services:
                continue
            after += self._started[other]
            condition = how.get("condition", "service_started")
            target = self._project.services[other]
            if condition == "service_started" or target.get("provider") is not None or scale_of(target) == 0:
                continue
            after.append(self._wait(other, condition, bool(how.get("required"))))
        return after

    def _wait(self, name: str, condition: str, required: bool) -> str:
        id = f"wait:{name}:{condition}:{required}"
        if id not in self._plan.ids:
            names = [target.name for target in self._targets[name]]
            shown = " ".join(f"Container {item}" for item in names)
            data = {"service": name, "condition": condition, "required": required, "names": names}
            self._plan.add(id, "wait", shown, self._started[name], data)
        return id

    def _waits(self) -> None:
        """`--wait`: everything running or healthy; what another waits for to complete, completed."""
        completed = {
            other
            for service in self._project.services.values()
            for other, how in (service.get("depends_on") or {}).items()
            if how.get("condition") == "service_completed_successfully"
        }
        for name, service in self._project.services.items():
            if service.get("provider") is None and self._targets[name]:
                self._wait(name, "service_completed_successfully" if name in completed else "running_or_healthy", True)


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
