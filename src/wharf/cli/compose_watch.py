"""`wharf compose watch`, and `up --watch`: changed files are copied, built or restarted as `develop.watch` says."""

from __future__ import annotations

import signal
import sys

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from wharf.compose.inotify import Inotify
    from wharf.compose.project import Project
    from wharf.compose.watch import Rule, Watch

WATCH = command(
    "watch",
    "[SERVICE...]",
    "Watch build context for service and rebuild/refresh containers when files are updated",
    (
        ("no-up", "", "bool", "Do not build & start services before watching"),
        ("prune", "", "bool", "Prune dangling images on rebuild (default true)"),
        ("quiet", "", "bool", "Hide build output"),
    ),
)
QUIET_SECONDS = 0.15
"""A batch ends when nothing has changed for so long: editors write several files at once."""


def watch(compose: Compose, args: list[str]) -> int:
    """Starts the services and follows their files until it is interrupted."""
    flags, names = WATCH.parse(args)
    project = compose.project(names)
    rules = active_rules(compose, project)
    around = compose.around(quiet_build=bool(flags.get("quiet")))
    if not flags.get("no-up"):
        from wharf.compose.planning import UpOptions
        from wharf.compose.run_project import up

        up(project, around, UpOptions(services=tuple(names)))
    say = _say(compose)
    from wharf.compose.inotify import Inotify
    from wharf.compose.watch import Watch

    with Inotify() as inotify:
        signal.signal(signal.SIGINT, lambda number, frame: inotify.stop())
        signal.signal(signal.SIGTERM, lambda number, frame: inotify.stop())
        worker = Watch(project, around, say, prune=bool(flags.get("prune", True)))
        follow(compose, worker, rules, inotify, say)
    return 0


def _say(compose: Compose) -> Callable[[str], None]:
    def say(text: str) -> None:
        compose.session.line(f"⦿ {text}")
        sys.stdout.flush()

    return say


def active_rules(compose: Compose, project: Project) -> list[Rule]:
    """The rules that have something to do; raises ExitWith when there are none."""
    from wharf.compose.watch import is_mounted, rules_of

    rules = []
    for rule in rules_of(project):
        if is_mounted(rule, project.services[rule.service]):
            compose.warn([f"path '{rule.path}' also declared by a bind mount volume, this path won't be monitored!"])
        else:
            rules.append(rule)
    if not rules:
        raise ExitWith("none of the selected services is configured for watch, consider setting a 'develop' section")
    return rules


def follow(compose: Compose, worker: Watch, rules: list[Rule], inotify: Inotify, say: Callable[[str], None]) -> None:
    """Does what changes ask for until `inotify.stop()`; a failure is said, and the next change is a new try."""
    from wharf.compose.watch import batch_of, files_beneath

    for path in dict.fromkeys(rule.path for rule in rules):
        inotify.watch(path)
    for rule in rules:
        if rule.initial and rule.action.startswith("sync"):
            worker.sync(rule.service, files_beneath(rule))
    say("Watch enabled")
    while (changed := inotify.read(None)) is not None:
        while more := inotify.read(QUIET_SECONDS):
            changed |= more
        try:
            worker.do(batch_of(rules, changed))
        except WharfError as error:
            compose.warn([f"Error handling changed files: {error.message}"])
    say("Watch disabled")
