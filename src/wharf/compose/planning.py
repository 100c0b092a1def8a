"""What the parts of a plan for `up` know of each other while it is made: steps by what they make, start and stop."""

from __future__ import annotations

from collections.abc import Mapping

from wharf.compose import labels
from wharf.compose.observed import Observed
from wharf.compose.project import Project
from wharf.compose.record import Record, field
from wharf.compose.steps import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIVERGED, FORCE, NEVER = "diverged", "force", "never"


class UpOptions(Record, frozen=True):
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


class Target(Record):
    """A container that shall be there."""

    name: str
    number: int
    there: dict[str, Any] | None
    made: str = ""
    """The step that makes it, if any."""


class Planning(Record):
    """A plan in the making."""

    project: Project
    observed: Observed
    options: UpOptions
    plan: Plan = field(default_factory=Plan)
    resources: dict[str, str] = field(default_factory=dict)
    """Steps that make networks, volumes and what providers give, by `kind:key`."""
    targets: dict[str, list[Target]] = field(default_factory=dict)
    """By service."""
    started: dict[str, list[str]] = field(default_factory=dict)
    """The steps that start each service's containers."""
    stopped: dict[str, str] = field(default_factory=dict)
    replaced_networks: set[str] = field(default_factory=set)

    def remove(self, container: Mapping[str, Any]) -> str:
        """The step that removes a container; one for each."""
        id = f"remove:{container['Id']}"
        if id not in self.plan.ids:
            data = {
                "container": container["Id"],
                "service": labels.service_of(container),
                "timeout": self.options.timeout,
            }
            self.plan.add(id, "container-remove", f"Container {labels.name_of(container)}", (), data)
        return id

    def stop(self, container: Mapping[str, Any], service: str) -> str:
        """The step that stops a container; one for each."""
        id = f"stop:{container['Id']}"
        if id not in self.stopped:
            data = {"container": container["Id"], "service": service, "timeout": self.options.timeout}
            self.stopped[id] = self.plan.add(id, "container-stop", f"Container {labels.name_of(container)}", (), data)
        return id

    def made(self, name: str) -> list[str]:
        """The steps that make a service's containers, or what its provider gives."""
        made = [target.made for target in self.targets.get(name, ()) if target.made]
        return made + ([self.resources[f"provider:{name}"]] if f"provider:{name}" in self.resources else [])
