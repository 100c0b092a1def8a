"""What the engine has of a project: one picture of containers, networks, volumes and images (read only)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wharf.client.api import Client, quote
from wharf.client.http import ApiError
from wharf.compose import labels
from wharf.compose.project import Project
from wharf.compose.record import Record, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_FOUND = 404


class Observed(Record, frozen=True):
    """Containers as the list shows them; networks and volumes by name; image ids by the name that was asked for."""

    containers: list[dict[str, Any]] = field(default_factory=list)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of_service(self, name: str) -> list[dict[str, Any]]:
        """A service's containers but those of `run`, by number."""
        found = [item for item in self.containers if labels.service_of(item) == name and not labels.is_one_off(item)]
        return sorted(found, key=labels.number_of)


def project_containers(client: Client, project: str, *more: str, all: bool = True) -> list[dict[str, Any]]:
    """The containers of a project that Compose made; `more` are further label filters."""
    filters = labels.filters(project, labels.HASH, *more)
    found: list[dict[str, Any]] = client.get("/containers/json", all=all, filters=filters)
    return found


def observe(client: Client, project: Project, images: Mapping[str, dict[str, Any]]) -> Observed:
    """Three requests, and one more for each external network that a name does not find."""
    networks = {item["Name"]: item for item in client.get("/networks") or ()}
    for network in project.networks.values():
        name = network.get("name", "")
        if network.get("external") and name not in networks:
            by_id = next((item for item in networks.values() if item["Id"] == name), None)
            if by_id is not None:
                networks[name] = by_id
    volumes = {item["Name"]: item for item in (client.get("/volumes") or {}).get("Volumes") or ()}
    return Observed(project_containers(client, project.name), networks, volumes, dict(images))


def find_images(client: Client, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The images that are there, by the name asked for."""
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = client.get(f"/images/{quote(name, safe='/:@')}/json")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
    return found
