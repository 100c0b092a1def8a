"""`wharf compose run`: a container of its own for one command, what it depends on started before."""

from __future__ import annotations

import os
import sys

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.compose.project import Project, Service

RUN = command(
    "run",
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    "Run a one-off command on a service",
    (
        ("build", "", "bool", "Build image before starting container"),
        ("cap-add", "", "list", "Add Linux capabilities"),
        ("cap-drop", "", "list", "Drop Linux capabilities"),
        ("detach", "d", "bool", "Run container in background and print container ID"),
        ("entrypoint", "", "string", "Override the entrypoint of the image"),
        ("env", "e", "list", "Set environment variables"),
        ("env-from-file", "", "list", "Set environment variables from file"),
        ("interactive", "i", "bool", "Keep STDIN open even if not attached"),
        ("label", "l", "list", "Add or override a label"),
        ("name", "", "string", "Assign a name to the container"),
        ("no-TTY", "T", "bool", "Disable pseudo-TTY allocation"),
        ("no-deps", "", "bool", "Don't start linked services"),
        ("publish", "p", "list", "Publish a container's port(s) to the host"),
        ("pull", "", "string", 'Pull image before running ("always"|"missing"|"never")'),
        ("quiet", "q", "bool", "Don't print anything to STDOUT"),
        ("quiet-build", "", "bool", "Suppress progress output from the build process"),
        ("quiet-pull", "", "bool", "Pull without printing progress information"),
        ("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
        ("rm", "", "bool", "Automatically remove the container when it exits"),
        ("service-ports", "P", "bool", "Run command with all service's ports enabled and mapped to the host"),
        ("tty", "t", "bool", "Allocate a pseudo-TTY"),
        ("use-aliases", "", "bool", "Use the service's network aliases"),
        ("user", "u", "string", "Run as specified username or uid"),
        ("volume", "v", "list", "Bind mount a volume"),
        ("workdir", "w", "string", "Working directory inside the container"),
    ),
    operands=(1, -1),
    interspersed=False,
    example="wharf compose run --rm web sh",
)


def run(compose: Compose, args: list[str]) -> int:
    """Runs the command; its exit status."""
    flags, (name, *words) = RUN.parse(args)
    if flags.get("publish") and flags.get("service-ports"):
        raise ExitWith("--service-ports and --publish are incompatible")
    if "tty" in flags and "no-TTY" in flags:
        raise ExitWith("--tty and --no-TTY can't be used together")
    from wharf.cli.compose_up import with_making_flags
    from wharf.compose.run_project import in_surroundings

    project = with_making_flags(compose.project([name]), flags)
    if flags.get("no-deps"):
        project = project.with_selected([name], dependencies=False)
    project.service(name)
    project = in_surroundings(project, compose.around(bool(flags.get("quiet"))))
    _start_dependencies(compose, project, name, flags)
    slug = os.urandom(32).hex()
    service = _one_off(project, name, flags, words, slug)
    return _run_container(compose, project, name, service, (flags, slug))


def _start_dependencies(compose: Compose, project: Project, name: str, flags: dict[str, Any]) -> None:
    """What the service depends on, up and in the condition that it wants; its networks and volumes."""
    from wharf.compose.planning import UpOptions
    from wharf.compose.record import replace
    from wharf.compose.run_project import up

    others = {key: item for key, item in project.services.items() if key != name}
    rest = replace(project, services=others, disabled={**project.disabled, name: project.services[name]})
    around = compose.around(bool(flags.get("quiet")))
    up(rest, around, UpOptions(remove_orphans=bool(flags.get("remove-orphans"))))
    _await(compose, project, name)


def _await(compose: Compose, project: Project, name: str) -> None:
    from wharf.compose.apply import Applier
    from wharf.compose.observed import Observed, project_containers
    from wharf.compose.steps import Plan

    engine = compose.engine()
    observed = Observed(project_containers(engine.client, project.name))
    plan = Plan()
    from wharf.compose import labels

    for other, how in (project.services[name].get("depends_on") or {}).items():
        condition = how.get("condition", "service_started")
        names = [labels.name_of(item) for item in observed.of_service(other)]
        if condition != "service_started" and names and other in project.services:
            data = {"service": other, "condition": condition, "required": bool(how.get("required")), "names": names}
            plan.add(f"wait:{other}", "wait", f"Container {names[0]}", (), data)
    if plan.steps:
        Applier(engine, project, observed, compose.around().report).run(plan.steps)


def _one_off(project: Project, name: str, flags: dict[str, Any], words: list[str], slug: str) -> Service:
    """The service as this one command wants it."""
    from wharf.compose.create_body import separator
    from wharf.compose.shortforms import parse_ports, parse_volume, split_command

    between = separator(project)
    service: Service = {
        **project.services[name],
        "tty": _terminal(flags),
        "stdin_open": flags.get("interactive", True),
        "container_name": flags.get("name") or between.join((project.name, name, "run", slug[:12])),
        "scale": 1,
    }
    service.pop("restart", None)
    if service.get("deploy") is not None:
        service["deploy"] = {key: item for key, item in service["deploy"].items() if key != "restart_policy"}
    if words:
        service["command"] = words
    if "entrypoint" in flags:
        service["entrypoint"] = split_command(flags["entrypoint"])
        if not words:
            service["command"] = []
    for flag, field in (("user", "user"), ("workdir", "working_dir")):
        if flags.get(flag):
            service[field] = flags[flag]
    if not flags.get("service-ports"):
        service["ports"] = [port for text in flags.get("publish", ()) for port in parse_ports(text)]
    if flags.get("volume"):
        service["volumes"] = [*(service.get("volumes") or ()), *(parse_volume(text) for text in flags["volume"])]
    for flag, field, other in (("cap-add", "cap_add", "cap_drop"), ("cap-drop", "cap_drop", "cap_add")):
        if flags.get(flag):
            service[field] = [*(service.get(field) or ()), *flags[flag]]
            service[other] = [item for item in service.get(other) or () if item not in flags[flag]]
    service["environment"] = {**(service.get("environment") or {}), **_environment(project, flags)}
    service["labels"] = {**(service.get("labels") or {}), **_labels(flags)}
    return service


def _terminal(flags: dict[str, Any]) -> bool:
    if "tty" in flags:
        return bool(flags["tty"])
    if "no-TTY" in flags:
        return not flags["no-TTY"]
    return sys.stdout.isatty() and ("interactive" in flags or sys.stdin.isatty())


def _environment(project: Project, flags: dict[str, Any]) -> dict[str, str | None]:
    from wharf.compose.project import read_variables

    found: dict[str, str] = {}
    for text in flags.get("env", ()):
        key, equals, value = text.partition("=")
        if equals:
            found[key] = value
        elif key in project.environment:
            found[key] = project.environment[key]
    for path in flags.get("env-from-file", ()):
        values: dict[str, str] = {}
        read_variables(path, values, found.get, "")
        found = {**values, **found}
    return dict(found)


def _labels(flags: dict[str, Any]) -> dict[str, str]:
    found = {}
    for text in flags.get("label", ()):
        key, equals, value = text.partition("=")
        if not equals:
            raise ExitWith("label must be set as KEY=VALUE")
        found[key] = value
    return found


def _run_container(
    compose: Compose, project: Project, name: str, service: Service, asked: tuple[dict[str, Any], str]
) -> int:
    from wharf.compose import labels
    from wharf.compose.actions import Context, inject, make_container, resolve_references
    from wharf.compose.create_body import Wanted, image_name
    from wharf.compose.images import ensure_images
    from wharf.compose.observed import observe

    flags, slug = asked
    around = compose.around(bool(flags.get("quiet")))
    client = around.engine.client
    images = ensure_images(
        project.with_selected([name], dependencies=False), around, True if flags.get("build") else None
    )
    _ensure_resources(compose, project, images)
    context = Context(around.engine, project, observe(client, project, images), around.report)
    image = images.get(image_name(project, name, project.services[name]), {}).get("Id", "")
    interactive, detach = bool(service["stdin_open"]), bool(flags.get("detach"))
    wanted = Wanted(
        resolve_references(context, service), name, -1, service["container_name"], image,
        labels={labels.SLUG: slug}, one_off=True, aliases=bool(flags.get("use-aliases")),
        stdin=interactive and not detach, remove=bool(flags.get("rm")),
    )  # fmt: skip
    id = make_container(context, wanted)
    inject(context, name, service, id)
    if detach:
        client.post(f"/containers/{id}/start")
        compose.session.line(id)
        return 0
    return _attached(compose, id, service, interactive, bool(flags.get("rm")))


def _ensure_resources(compose: Compose, project: Project, images: dict[str, Any]) -> None:
    """Networks and volumes of the service itself: what it depends on may use others."""
    from wharf.compose.apply import Applier
    from wharf.compose.observed import observe
    from wharf.compose.plan import plan_up
    from wharf.compose.planning import UpOptions
    from wharf.compose.record import replace

    around = compose.around()
    observed = observe(around.engine.client, project, images)
    plan = plan_up(replace(project, services={}), observed, UpOptions(start=False, ignore_orphans=True))
    Applier(around.engine, project, observed, around.report).run(plan.steps)


def _attached(compose: Compose, id: str, service: Service, interactive: bool, remove: bool) -> int:
    from wharf.cli.attachment import Attachment
    from wharf.cli.signals import forward

    tty = bool(service["tty"])
    if tty and interactive and not sys.stdin.isatty():
        raise WharfError("the input device is not a TTY")
    client = compose.engine().client
    with Attachment(client, id, tty=tty, stdin=interactive, stdout=True, stderr=True) as attachment:
        with attachment.waiting("removed" if remove else "next-exit") as waiter:
            if not tty:
                forward(client, id)
            client.post(f"/containers/{id}/start")
            if attachment.pump():
                return 0
            return waiter.status()
