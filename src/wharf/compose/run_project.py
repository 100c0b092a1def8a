"""`up` and `down` as one call each: images, a picture of what is there, the plan, its steps."""

from __future__ import annotations

from collections.abc import Iterable

from wharf.client.address import CREDENTIALS_INSIDE, DOCKER_SOCKET
from wharf.client.api import Client
from wharf.compose import labels
from wharf.compose.apply import Applier
from wharf.compose.check import check_container_names
from wharf.compose.images import Surroundings, ensure_images
from wharf.compose.observed import Observed, find_images, observe, project_containers
from wharf.compose.plan import plan_up
from wharf.compose.plan_down import DownOptions, plan_down, project_of
from wharf.compose.planning import UpOptions
from wharf.compose.platforms import with_platforms
from wharf.compose.project import Project
from wharf.compose.record import Record, replace
from wharf.compose.steps import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Prepared(Record):
    """A plan that is ready to be done."""

    project: Project
    observed: Observed
    plan: Plan
    applier: Applier

    def run(self, actions: Iterable[str] = (), timeout: float | None = None) -> None:
        """Does the steps, or those of some actions only."""
        wanted = set(actions)
        self.applier.run([step for step in self.plan.steps if not wanted or step.action in wanted], timeout)

    def run_others(self, actions: Iterable[str], timeout: float | None = None) -> None:
        """Does the steps but those of some actions."""
        left_out = set(actions)
        self.applier.run([step for step in self.plan.steps if step.action not in left_out], timeout)


def prepare_up(
    project: Project, around: Surroundings, options: UpOptions = UpOptions(), build: bool | None = None
) -> Prepared:
    """Gets the images and plans the rest; raises WharfError."""
    check_container_names(project.services)
    project = in_surroundings(project, around)
    images = ensure_images(project, around, build)
    observed = observe(around.engine.client, project, images)
    plan = plan_up(project, observed, options)
    for text in plan.warnings:
        around.warn(text)
    applier = Applier(around.engine, project, observed, around.report, around.workers)
    return Prepared(project, observed, plan, applier)


def up(
    project: Project,
    around: Surroundings,
    options: UpOptions = UpOptions(),
    build: bool | None = None,
    timeout: float | None = None,
) -> Prepared:
    """Makes the project be there as its files say; raises WharfError with the first thing that fails."""
    prepared = prepare_up(project, around, options, build)
    prepared.run(timeout=timeout)
    for text in prepared.applier.context.warnings:
        around.warn(text)
    return prepared


def observe_name(client: Client, name: str) -> Observed:
    """What there is of a project of which only the name is known."""
    filters = labels.filters(name)
    networks = {item["Name"]: item for item in client.get("/networks", filters=filters) or ()}
    volumes = {item["Name"]: item for item in (client.get("/volumes", filters=filters) or {}).get("Volumes") or ()}
    return Observed(project_containers(client, name), networks, volumes)


def plan_for_down(
    client: Client, name: str, project: Project | None, options: DownOptions
) -> tuple[Project, Observed, Plan]:
    """The plan, from the files where there are some, else from labels."""
    observed = observe_name(client, name)
    known = project or project_of(name, observed)
    if options.images:
        from wharf.compose.create_body import image_name

        names = [image_name(known, key, item) for key, item in known.all_services().items()]
        observed = replace(observed, images=find_images(client, names))
    return known, observed, plan_down(known, observed, options)


def down(name: str, project: Project | None, around: Surroundings, options: DownOptions = DownOptions()) -> Plan:
    """Takes a project away; what is gone already, or used by others, is no failure."""
    known, observed, plan = plan_for_down(around.engine.client, name, project, options)
    for text in plan.warnings:
        around.warn(text)
    Applier(around.engine, known, observed, around.report, around.workers).run(plan.steps)
    return plan


def in_surroundings(project: Project, around: Surroundings) -> Project:
    """The project with what only the place where it runs can say: platforms, proxies, the engine's socket, models."""
    project = use_api_socket(replace(with_platforms(project), proxies=around.proxies()), around)
    if project.models:
        from wharf.compose.models import with_models

        project = with_models(project, around.report)
    return project


def use_api_socket(project: Project, around: Surroundings) -> Project:
    """Services with `use_api_socket` get the engine's socket, where docker's is, and the user's credentials."""
    if not any(service.get("use_api_socket") for service in project.services.values()):
        return project
    socket = around.engine.address.path or DOCKER_SOCKET
    credentials = around.credentials() or '{"auths": {}}'
    services: dict[str, Any] = {}
    for name, service in project.services.items():
        services[name] = service
        if not service.get("use_api_socket"):
            continue
        mount = {"type": "bind", "source": socket, "target": DOCKER_SOCKET}
        file = {"source": "#apisocket", "target": f"{CREDENTIALS_INSIDE}/config.json"}
        environment = {"DOCKER_CONFIG": CREDENTIALS_INSIDE, **(service.get("environment") or {})}
        services[name] = {
            **service,
            "volumes": [*(service.get("volumes") or ()), mount],
            "configs": [*(service.get("configs") or ()), file],
            "environment": environment,
        }
    configs = {**project.configs, "#apisocket": {"name": "#apisocket", "content": credentials}}
    return replace(project, services=services, configs=configs)
