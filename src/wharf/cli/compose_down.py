"""`wharf compose down`, `stop`, `kill`, `rm`, `pause`, `unpause`, `restart` and `wait`."""

from __future__ import annotations

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wharf.compose.project import Project

_TIMEOUT = ("timeout", "t", "int", "Specify a shutdown timeout in seconds")
DOWN = command(
    "down",
    "[OPTIONS] [SERVICES]",
    "Stop and remove containers, networks",
    (
        ("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
        ("rmi", "", "string", 'Remove images used by services ("local"|"all")'),
        _TIMEOUT,
        ("volumes", "v", "bool", "Remove named volumes of the file and anonymous volumes of its containers"),
    ),
    example="wharf compose down -v",
)
STOP = command("stop", "[OPTIONS] [SERVICE...]", "Stop services", (_TIMEOUT,))
RESTART = command(
    "restart",
    "[OPTIONS] [SERVICE...]",
    "Restart service containers",
    (_TIMEOUT, ("no-deps", "", "bool", "Don't restart dependent services")),
)
KILL = command(
    "kill",
    "[OPTIONS] [SERVICE...]",
    "Force stop service containers",
    (
        ("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
        ("signal", "s", "string", "SIGNAL to send to the container"),
    ),
)
RM = command(
    "rm",
    "[OPTIONS] [SERVICE...]",
    "Removes stopped service containers",
    (
        ("all", "a", "bool", "Has no effect"),
        ("force", "f", "bool", "Don't ask to confirm removal"),
        ("stop", "s", "bool", "Stop the containers, if required, before removing"),
        ("volumes", "v", "bool", "Remove any anonymous volumes attached to containers"),
    ),
)
PAUSE = command("pause", "[SERVICE...]", "Pause services")
UNPAUSE = command("unpause", "[SERVICE...]", "Unpause services")
WAIT = command(
    "wait",
    "SERVICE [SERVICE...] [OPTIONS]",
    "Block until containers of all (or specified) services stop",
    (("down-project", "", "bool", "Drops project when the first container stops"),),
    operands=(1, -1),
)


def down(compose: Compose, args: list[str]) -> int:
    """Takes the project away, whatever state it is in."""
    flags, names = DOWN.parse(args)
    from wharf.compose.plan_down import DownOptions
    from wharf.compose.run_project import down as take_down
    from wharf.compose.run_project import plan_for_down

    images = flags.get("rmi", "")
    if images not in ("", "local", "all"):
        raise ExitWith(f'invalid value for --rmi: "{images}"')
    project, name = compose.project_or_name()
    if project is not None:
        for service in names:
            project.service(service)
    options = DownOptions(
        tuple(names), bool(flags.get("volumes")), images, bool(flags.get("remove-orphans")), flags.get("timeout")
    )
    if compose.dry_run or flags.get("dry-run"):
        from wharf.cli.compose_up import show_plan

        show_plan(compose, plan_for_down(compose.engine().client, name, project, options)[2])
        return 0
    take_down(name.lower(), project, compose.around(), options)
    return 0


def stop(compose: Compose, args: list[str]) -> int:
    """Stops containers, dependents first."""
    flags, names = STOP.parse(args)
    _stop(compose, names, flags.get("timeout"))
    return 0


def _stop(compose: Compose, names: list[str], timeout: int | None) -> None:
    """A plan of stops in the reverse of the dependencies' order."""
    from wharf.compose import labels
    from wharf.compose.apply import Applier
    from wharf.compose.order import in_order
    from wharf.compose.plan_down import project_of
    from wharf.compose.run_project import observe_name
    from wharf.compose.steps import Plan

    project, name = compose.project_or_name()
    observed = observe_name(compose.engine().client, name.lower())
    known = project or project_of(name, observed)
    _known_services(known, names, project is not None)
    plan = Plan()
    stops: dict[str, list[str]] = {}
    for service in reversed(in_order(known.services)):
        after = [step for other, item in known.services.items() if service in (item.get("depends_on") or {})
                 for step in stops.get(other, ())]  # fmt: skip
        if names and service not in names:
            continue
        stops[service] = [
            plan.add(f"stop:{item['Id']}", "container-stop", f"Container {labels.name_of(item)}", after,
                     {"container": item["Id"], "service": service, "timeout": timeout})
            for item in observed.of_service(service) if item.get("State") in ("running", "restarting", "paused")
        ]  # fmt: skip
    around = compose.around()
    Applier(around.engine, known, observed, around.report, around.workers).run(plan.steps)


def _known_services(project: Project, names: list[str], strict: bool) -> None:
    for name in names:
        if name not in project.all_services() and strict:
            raise ExitWith(f"no such service: {name}")


def containers_of(
    compose: Compose, names: list[str], *, all: bool, one_off: bool | None = False, known: bool = True
) -> list[dict[str, Any]]:
    """The project's containers of these services (or all), by name; where they must be `known`, raises ExitWith for one
    that the project has not."""
    from wharf.compose import labels
    from wharf.compose.observed import project_containers

    project, name = compose.project_or_name()
    if project is not None:
        _known_services(project, names, known)
    more = () if one_off is None else (f"{labels.ONE_OFF}={one_off}",)
    found = project_containers(compose.engine().client, name.lower(), *more, all=all)
    chosen = [item for item in found if not names or labels.service_of(item) in names]
    return sorted(chosen, key=labels.name_of)


def _each(
    compose: Compose, containers: list[dict[str, Any]], words: tuple[str, str], action: Callable[[Any, str], Any]
) -> None:
    """Does something to all containers at once; raises the first failure."""
    import threading

    from wharf.compose import labels

    around = compose.around()
    errors: list[ApiError] = []

    def one(container: dict[str, Any]) -> None:
        subject = f"Container {labels.name_of(container)}"
        around.report(subject, words[0])
        try:
            action(around.engine.client, container["Id"])
        except ApiError as error:
            around.report(subject, f"Error {error.message}")
            errors.append(error)
        else:
            around.report(subject, words[1])

    threads = [threading.Thread(target=one, args=(item,)) for item in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def kill(compose: Compose, args: list[str]) -> int:
    """Sends a signal to running containers."""
    flags, names = KILL.parse(args)
    found = containers_of(compose, names, all=False)
    if not found:
        compose.session.complain("no container to kill")
        return 0
    signal = flags.get("signal", "SIGKILL")
    _each(
        compose, found, ("Killing", "Killed"), lambda client, id: client.post(f"/containers/{id}/kill", signal=signal)
    )
    return 0


def pause(compose: Compose, args: list[str]) -> int:
    """Freezes containers."""
    _, names = PAUSE.parse(args)
    found = containers_of(compose, names, all=False)
    _each(compose, found, ("Pausing", "Paused"), lambda client, id: client.post(f"/containers/{id}/pause"))
    return 0


def unpause(compose: Compose, args: list[str]) -> int:
    """Thaws containers."""
    _, names = UNPAUSE.parse(args)
    found = [item for item in containers_of(compose, names, all=False) if item.get("State") == "paused"]
    _each(compose, found, ("Unpausing", "Unpaused"), lambda client, id: client.post(f"/containers/{id}/unpause"))
    return 0


def rm(compose: Compose, args: list[str]) -> int:
    """Removes containers that have stopped; asks first."""
    flags, names = RM.parse(args)
    if flags.get("stop"):
        _stop(compose, names, None)
    found = [item for item in containers_of(compose, names, all=True)
             if item.get("State") not in ("running", "restarting", "paused")]  # fmt: skip
    if not found:
        compose.session.complain("No stopped containers")
        return 0
    if not flags.get("force") and not _confirmed(compose, found):
        return 0
    if flags.get("force"):
        compose.session.complain(f"Going to remove {_names(found)}")
    volumes = bool(flags.get("volumes"))
    _each(
        compose,
        found,
        ("Removing", "Removed"),
        lambda client, id: client.delete(f"/containers/{id}", v=volumes, force=True),
    )
    return 0


def _names(found: list[dict[str, Any]]) -> str:
    from wharf.compose import labels

    return ", ".join(labels.name_of(item) for item in found)


def _confirmed(compose: Compose, found: list[dict[str, Any]]) -> bool:
    compose.session.write(f"? Going to remove {_names(found)} (y/N) ")
    import sys

    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def restart(compose: Compose, args: list[str]) -> int:
    """Restarts containers in the order of their dependencies, and those that want to be restarted with them."""
    flags, names = RESTART.parse(args)
    from wharf.compose.actions import Context
    from wharf.compose.plan_down import project_of
    from wharf.compose.restarts import restart_services, with_dependents
    from wharf.compose.run_project import observe_name

    project, name = compose.project_or_name()
    around = compose.around()
    observed = observe_name(around.engine.client, name.lower())
    known = project or project_of(name, observed)
    _known_services(known, names, project is not None)
    chosen = set(names or known.services)
    if not flags.get("no-deps"):
        chosen = with_dependents(known.services, chosen)
    restart_services(Context(around.engine, known, observed, around.report), chosen, flags.get("timeout"))
    return 0


def wait(compose: Compose, args: list[str]) -> int:
    """Waits until the services' containers end; the last one's status."""
    flags, names = WAIT.parse(args)
    found = containers_of(compose, names, all=False, one_off=None, known=False)
    if not found:
        raise ExitWith(f'no containers for project "{compose.name()}"')
    status = 0
    client = compose.engine().client
    for container in found:
        status = int(client.post(f"/containers/{container['Id']}/wait")["StatusCode"])
        compose.session.line(f'container "{container["Id"]}" exited with status code {status}')
        if flags.get("down-project"):
            break
    if flags.get("down-project"):
        down(compose, ["--remove-orphans"])
    return status
