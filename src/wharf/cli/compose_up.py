"""`wharf compose up`, `create`, `scale` and `start`."""

from __future__ import annotations

import os

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.compose.images import Surroundings
    from wharf.compose.planning import UpOptions
    from wharf.compose.project import Project
    from wharf.compose.steps import Plan

_MAKING = (
    ("build", "", "bool", "Build images before starting containers"),
    ("force-recreate", "", "bool", "Recreate containers even if their configuration and image haven't changed"),
    ("no-build", "", "bool", "Don't build an image, even if it's policy"),
    ("no-recreate", "", "bool", "If containers already exist, don't recreate them"),
    ("pull", "", "string", 'Pull image before running ("always"|"missing"|"never"|"build")'),
    ("quiet-pull", "", "bool", "Pull without printing progress information"),
    ("remove-orphans", "", "bool", "Remove containers for services not defined in the Compose file"),
    ("scale", "", "list", "Scale SERVICE to NUM instances"),
    ("yes", "y", "bool", 'Assume "yes" as answer to all prompts and run non-interactively'),
)
UP = command(
    "up",
    "[OPTIONS] [SERVICE...]",
    "Create and start containers",
    (
        *_MAKING,
        ("abort-on-container-exit", "", "bool", "Stops all containers if any container was stopped"),
        ("abort-on-container-failure", "", "bool", "Stops all containers if any container exited with failure"),
        ("always-recreate-deps", "", "bool", "Recreate dependent containers. Incompatible with --no-recreate"),
        ("attach", "", "list", "Restrict attaching to the specified services"),
        ("attach-dependencies", "", "bool", "Automatically attach to log output of dependent services"),
        ("detach", "d", "bool", "Detached mode: Run containers in the background"),
        ("exit-code-from", "", "string", "Return the exit code of the selected service container"),
        ("menu", "", "bool", "Enable interactive shortcuts when running attached (has no effect)"),
        ("no-attach", "", "list", "Do not attach (stream logs) to the specified services"),
        ("no-color", "", "bool", "Produce monochrome output"),
        ("no-deps", "", "bool", "Don't start linked services"),
        ("no-log-prefix", "", "bool", "Don't print prefix in logs"),
        ("no-start", "", "bool", "Don't start the services after creating them"),
        ("quiet-build", "", "bool", "Suppress the build output"),
        ("renew-anon-volumes", "V", "bool", "Recreate anonymous volumes instead of retrieving their data"),
        ("timeout", "t", "int", "Use this timeout in seconds for container shutdown"),
        ("timestamps", "", "bool", "Show timestamps"),
        ("wait", "", "bool", "Wait for services to be running|healthy. Implies detached mode"),
        ("wait-timeout", "", "int", "Maximum duration in seconds to wait for the project to be running|healthy"),
        ("watch", "w", "bool", "Watch source code and rebuild/refresh containers when files are updated"),
    ),
    example="wharf compose up -d --wait",
)
CREATE = command("create", "[OPTIONS] [SERVICE...]", "Creates containers for a service", _MAKING)
SCALE = command(
    "scale",
    "[SERVICE=REPLICAS...]",
    "Scale services",
    (("no-deps", "", "bool", "Don't start linked services"),),
    operands=(1, -1),
    example="wharf compose scale web=3",
)
START = command(
    "start",
    "[SERVICE...]",
    "Start services",
    (
        ("wait", "", "bool", "Wait for services to be running|healthy"),
        ("wait-timeout", "", "int", "Maximum duration in seconds to wait"),
    ),
)
_POLICIES = ("always", "never", "build", "missing", "if_not_present")


def up(compose: Compose, args: list[str]) -> int:
    """Makes the project be there; shows its output unless it is to stay in the background."""
    flags, names = UP.parse(args)
    _check(flags)
    project = _prepared_project(compose, flags, names)
    from wharf.compose.run_project import prepare_up

    options = _options(compose, flags, names, project)
    around = compose.around(quiet_build=bool(flags.get("quiet-build")))
    if flags.get("dry-run") or compose.dry_run:
        return _dry_run(compose, project, options)
    if flags.get("no-start"):
        prepare_up(project, around, options, _build(flags)).run()
        return 0
    if flags.get("detach"):
        timeout = flags.get("wait-timeout") or None
        return _detached(project, around, options, _build(flags), timeout)
    from wharf.cli.compose_attached import run_attached

    return run_attached(compose, prepare_up(project, around, options, _build(flags)), flags, names)


def _detached(
    project: Project, around: Surroundings, options: UpOptions, build: bool | None, timeout: int | None
) -> int:
    from wharf.compose.apply import TimedOut
    from wharf.compose.run_project import up

    try:
        up(project, around, options, build, timeout)
    except TimedOut as error:
        waited = error.message.partition(": ")[2]
        raise ExitWith(f"application not healthy after {_seconds(timeout or 0)}: {waited}") from None
    return 0


def _seconds(value: int) -> str:
    from wharf.compose.quantities import show_duration

    return show_duration(value * 10**9)


def _dry_run(compose: Compose, project: Project, options: UpOptions) -> int:
    """The plan as it would be done now, and nothing else."""
    import time

    from wharf.compose.images import plan_images, wanted_images
    from wharf.compose.observed import find_images, observe
    from wharf.compose.plan import plan_up
    from wharf.compose.platforms import with_platforms

    project = with_platforms(project)
    client = compose.engine().client
    there = find_images(client, wanted_images(project))
    images = plan_images(project, there, None, time.time())
    for name in images.pulls:
        compose.session.line(f"DRY-RUN MODE -  Image {name}  Pull")
    for name in images.builds:
        compose.session.line(f"DRY-RUN MODE -  Service {name}  Build")
    show_plan(compose, plan_up(project, observe(client, project, there), options))
    return 0


def show_plan(compose: Compose, plan: Plan) -> None:
    """A line a step, in an order in which they could be done."""
    compose.warn(plan.warnings)
    for step in plan.steps:
        compose.session.line(f"DRY-RUN MODE -  {step.describe()}")


def _check(flags: dict[str, Any]) -> None:
    """Flags that cannot go together, in docker compose's words; --wait implies --detach."""
    stop = flags.get("abort-on-container-exit")
    fail = flags.get("abort-on-container-failure")
    if flags.get("exit-code-from") and not fail:
        stop = flags["abort-on-container-exit"] = True
    if stop and fail:
        raise ExitWith("--abort-on-container-failure cannot be combined with --abort-on-container-exit")
    attached = flags.get("attach-dependencies") or stop or flags.get("attach")
    if flags.get("wait"):
        if attached:
            raise ExitWith(
                "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies"
            )
        flags["detach"] = True
    if flags.get("detach") and (attached or fail or flags.get("watch")):
        mode = "--wait" if flags.get("wait") else "--detach"
        raise ExitWith(
            f"{mode} cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, "
            "--attach-dependencies or --watch"
        )
    for first, second in (
        ("build", "no-build"), ("no-recreate", "renew-anon-volumes"), ("force-recreate", "no-recreate"),
        ("always-recreate-deps", "no-recreate"), ("no-build", "watch"),
    ):  # fmt: skip
        if flags.get(first) and flags.get(second):
            raise ExitWith(f"--{first} and --{second} are incompatible")


def _prepared_project(compose: Compose, flags: dict[str, Any], names: list[str]) -> Project:
    project = compose.project(names)
    if not project.services:
        raise ExitWith("no service selected")
    project = with_making_flags(project, flags)
    if flags.get("no-deps"):
        project = project.with_selected(names, dependencies=False)
    if flags.get("exit-code-from"):
        project.service(flags["exit-code-from"])
    return project


def with_making_flags(project: Project, flags: dict[str, Any]) -> Project:
    """`--pull`, `--build` and `--scale` upon the services."""
    from wharf.compose.record import replace

    services = dict(project.services)
    if flags.get("pull") and flags["pull"] != "policy":
        if flags["pull"] not in _POLICIES:
            raise ExitWith(f'invalid --pull option "{flags["pull"]}"')
        services = {name: {**item, "pull_policy": flags["pull"]} for name, item in services.items()}
    if flags.get("build"):
        services = {
            name: {**item, "pull_policy": "build"} if item.get("build") is not None else item
            for name, item in services.items()
        }
    project = replace(project, services=services)
    for text in flags.get("scale", ()):
        name, equals, count = text.partition("=")
        if not equals:
            raise ExitWith(f"invalid --scale option: {text}")
        if not count.isdecimal():
            raise ExitWith(f'strconv.Atoi: parsing "{count}": invalid syntax')
        project = project.with_scale(name, int(count))
    return project


def _options(compose: Compose, flags: dict[str, Any], names: list[str], project: Project) -> UpOptions:
    from wharf.compose.planning import DIVERGED, FORCE, NEVER, UpOptions

    ignore = _truth(project.environment.get("COMPOSE_IGNORE_ORPHANS", ""))
    remove = flags.get("remove-orphans", _truth(os.environ.get("COMPOSE_REMOVE_ORPHANS", "")))
    if ignore and remove:
        raise ExitWith("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans")
    never = flags.get("no-recreate")
    force = flags.get("force-recreate") or flags.get("renew-anon-volumes")
    return UpOptions(
        services=tuple(names),
        recreate=NEVER if never else FORCE if force else DIVERGED,
        recreate_dependencies=NEVER if never else FORCE if flags.get("always-recreate-deps") else DIVERGED,
        inherit=not flags.get("renew-anon-volumes"),
        remove_orphans=bool(remove),
        ignore_orphans=ignore,
        start=not flags.get("no-start"),
        wait=bool(flags.get("wait")),
        recreate_volumes=bool(flags.get("yes")),
        timeout=flags.get("timeout"),
    )


def _truth(text: str) -> bool:
    return text.lower() in ("1", "true", "t", "y", "yes", "on")


def _build(flags: dict[str, Any]) -> bool | None:
    return False if flags.get("no-build") else True if flags.get("build") else None


def create(compose: Compose, args: list[str]) -> int:
    """Creates containers and starts nothing."""
    flags, names = CREATE.parse(args)
    return up(compose, ["--no-start", *args]) if flags or names or not args else up(compose, ["--no-start"])


def scale(compose: Compose, args: list[str]) -> int:
    """`up` of some services with other numbers."""
    flags, pairs = SCALE.parse(args)
    names = []
    for pair in pairs:
        name, equals, count = pair.partition("=")
        if not equals or not count.isdecimal():
            raise ExitWith(f"invalid scale specifier: {pair}")
        names.append(name)
    words = ["--detach", *(f"--scale={pair}" for pair in pairs), *(["--no-deps"] if flags.get("no-deps") else [])]
    return up(compose, [*words, *names])


def start(compose: Compose, args: list[str]) -> int:
    """Starts containers that are there, in the order of their dependencies."""
    flags, names = START.parse(args)
    from wharf.compose.apply import Applier
    from wharf.compose.observed import Observed
    from wharf.compose.plan import plan_up
    from wharf.compose.plan_down import project_of
    from wharf.compose.planning import UpOptions
    from wharf.compose.record import replace
    from wharf.compose.run_project import observe_name
    from wharf.compose.steps import Plan

    project, name = compose.project_or_name(names)
    engine = compose.engine()
    observed = observe_name(engine.client, name)
    if project is None:
        if not observed.containers:
            raise ExitWith(f'no container found for project "{name}": not found')
        project = project_of(name, observed).with_selected(names)
    services = {key: {**item, "scale": len(observed.of_service(key))} for key, item in project.services.items()}
    for key, item in services.items():
        if not item["scale"] and item.get("provider") is None and (not names or key in names):
            raise WharfError(f'service "{key}" has no container to start')
    project = replace(project, services=services, networks={}, volumes={})
    seen = Observed(observed.containers)
    plan = plan_up(project, seen, UpOptions(recreate="never", recreate_dependencies="never", ignore_orphans=True,
                                            wait=bool(flags.get("wait"))))  # fmt: skip
    around = compose.around()
    if compose.dry_run or flags.get("dry-run"):
        show_plan(compose, Plan(plan.steps))
        return 0
    Applier(engine, project, seen, around.report, around.workers).run(plan.steps, flags.get("wait-timeout") or None)
    return 0
