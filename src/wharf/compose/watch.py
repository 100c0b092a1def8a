"""`develop.watch`: which rule a changed file meets, and what a batch of changes is to do (pure); then doing it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable

from wharf.client.api import query
from wharf.client.http import ApiError
from wharf.compose import labels
from wharf.compose.actions import Context, run_hook
from wharf.compose.images import Surroundings
from wharf.compose.observed import Observed, project_containers
from wharf.compose.planning import FORCE, UpOptions
from wharf.compose.project import Project, Service
from wharf.compose.record import Record, field
from wharf.compose.restarts import restart_services, with_dependents
from wharf.compose.run_project import up
from wharf.dockerfile.ignore import IgnoreRules, read_ignore
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BATCH = 64 << 20
"""Bytes of one archive; more files go in the next."""
_EDITORS = ("**/.git", "**/.idea", "**/*.swp", "**/*.swo", "**/*.swx", "**/.*.swn", "**/*~", "**/4913", "**/.#*",
            "**/#*#", "**/.*.kate-swp", "**/*-go-tmp-umask", "**/*___jb_tmp___", "**/*___jb_old___",
            "**/.DS_Store")  # fmt: skip
"""What editors (vim, Emacs, Kate, JetBrains') and go write beside a file for a moment."""


class Rule(Record, frozen=True):
    """One trigger of one service."""

    service: str
    path: str
    action: str
    target: str
    include: IgnoreRules | None
    ignore: IgnoreRules
    context: str
    """Of the build, whose .dockerignore counts too."""
    context_ignore: IgnoreRules | None
    hook: dict[str, Any]
    initial: bool = False
    """Copied once before anything has changed."""

    def place_of(self, path: str) -> str | None:
        """Where a changed path lies in the container ("" for an action without a target); None when it is not ours."""
        if path != self.path and not path.startswith(self.path.rstrip("/") + "/"):
            return None
        inside = os.path.relpath(path, self.path)
        name = os.path.basename(path) if inside == "." else inside
        if self.ignore.ignored(name) or (self.include is not None and not self.include.ignored(name)):
            return None
        in_context = self.context_ignore is not None and path.startswith(self.context.rstrip("/") + "/")
        if in_context and self.context_ignore and self.context_ignore.ignored(os.path.relpath(path, self.context)):
            return None
        return os.path.normpath(os.path.join(self.target, inside)) if self.target else ""


class Batch(Record):
    """What some changes are to do, by service."""

    rebuild: set[str] = field(default_factory=set)
    sync: dict[str, dict[str, str]] = field(default_factory=dict)
    """Paths in the container by path here."""
    restart: set[str] = field(default_factory=set)
    hooks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def rules_of(project: Project) -> list[Rule]:
    """The rules of the project's services; raises WharfError for one that cannot be."""
    return [
        _rule(name, service, trigger)
        for name, service in project.services.items()
        for trigger in (service.get("develop") or {}).get("watch") or ()
    ]


def _rule(name: str, service: Service, trigger: dict[str, Any]) -> Rule:
    build = service.get("build") or {}
    action = trigger.get("action", "")
    if action == "rebuild" and not build:
        raise WharfError(f'can\'t watch service "{name}" with action rebuild without a build context')
    if action == "sync+exec" and not (trigger.get("exec") or {}).get("command"):
        raise WharfError(f'can\'t watch with action "sync+exec" on service {name} without a command')
    context = build.get("context", "")
    patterns: tuple[str, ...] = ()
    if context and os.path.isfile(os.path.join(context, ".dockerignore")):
        with open(os.path.join(context, ".dockerignore"), encoding="utf-8", errors="surrogateescape") as file:
            patterns = read_ignore(file.read())
    include = trigger.get("include")
    return Rule(
        name, trigger.get("path", ""), action, trigger.get("target", ""),
        IgnoreRules(read_ignore("\n".join(include))) if include else None,
        IgnoreRules([*_EDITORS, *read_ignore("\n".join(trigger.get("ignore") or ()))]),
        context, IgnoreRules(patterns) if patterns else None, trigger.get("exec") or {},
        bool(trigger.get("initial_sync")),
    )  # fmt: skip


def is_mounted(rule: Rule, service: Service) -> bool:
    """The path is a bind mount already: nothing needs to be copied."""
    return rule.action.startswith("sync") and any(
        volume.get("type") == "bind" and (rule.path + "/").startswith(volume.get("source", "").rstrip("/") + "/")
        for volume in service.get("volumes") or ()
    )


def batch_of(rules: Iterable[Rule], paths: Iterable[str]) -> Batch:
    """What changes of some paths are to do."""
    batch = Batch()
    changed = sorted(paths)
    for rule in rules:
        places = {path: place for path in changed if (place := rule.place_of(path)) is not None}
        if not places:
            continue
        if rule.action == "rebuild":
            batch.rebuild.add(rule.service)
        if rule.action.startswith("sync"):
            batch.sync.setdefault(rule.service, {}).update(places)
        if rule.action in ("restart", "sync+restart"):
            batch.restart.add(rule.service)
        if rule.action == "sync+exec":
            batch.hooks.setdefault(rule.service, []).append(rule.hook)
    return batch


class Watch:
    """Does batches; `say` is told what happened. `prune`: what a new image takes the name of goes."""

    def __init__(
        self, project: Project, around: Surroundings, say: Callable[[str], None], *, prune: bool = False
    ) -> None:
        self._project = project
        self._around = around
        self._say = say
        self._prune = prune

    def do(self, batch: Batch) -> None:
        """Rebuilds, copies, restarts, runs; raises WharfError with the first failure."""
        if batch.rebuild:
            self._rebuild(sorted(batch.rebuild))
        for service, places in batch.sync.items():
            self._say(f'Syncing service "{service}" after {len(places)} changes were detected')
            self.sync(service, places)
        if batch.restart:
            observed = Observed(project_containers(self._around.engine.client, self._project.name))
            names = with_dependents(self._project.services, batch.restart)
            restart_services(self._context(observed), names)
            self._say(f"service(s) {sorted(batch.restart)} restarted")
        for service, hooks in batch.hooks.items():
            self._run(service, hooks)

    def _containers(self, service: str) -> list[dict[str, Any]]:
        more = (f"{labels.SERVICE}={service}", f"{labels.ONE_OFF}=False")
        return project_containers(self._around.engine.client, self._project.name, *more, all=False)

    def _context(self, observed: Observed = Observed()) -> Context:
        return Context(self._around.engine, self._project, observed, self._around.report)

    def _run(self, service: str, hooks: list[dict[str, Any]]) -> None:
        context = self._context()
        for container in self._containers(service):
            for hook in hooks:
                run_hook(context, container["Id"], service, self._project.services[service], hook)

    def _rebuild(self, names: list[str]) -> None:
        self._say(f"Rebuilding service(s) {names} after changes were detected...")
        project = self._project
        for name in names:
            if self._around.build is None:
                raise WharfError("nothing here can build")
            self._around.build(project, name)
        self._say(f"service(s) {names} successfully built")
        selected = project.with_selected(names, dependencies=False)
        up(selected, self._around, UpOptions(recreate=FORCE, ignore_orphans=True), build=False)
        if self._prune:
            self._forget_unnamed()

    def _forget_unnamed(self) -> None:
        """Images of the project that have lost their names, but those that a container still has."""
        client = self._around.engine.client
        filters = {"dangling": ["true"], "label": [f"{labels.PROJECT}={self._project.name}"]}
        for image in client.get("/images/json", filters=filters) or ():
            try:
                client.delete(f"/images/{image['Id']}")
            except ApiError as error:
                if error.status not in (404, 409):  # gone meanwhile; in use
                    raise

    def sync(self, service: str, places: dict[str, str]) -> None:
        """Copies what is there into every container of the service, and removes there what is not."""
        gone = sorted(place for path, place in places.items() if not os.path.lexists(path))
        there = [(path, place) for path, place in places.items() if os.path.lexists(path)]
        client = self._around.engine.client
        archives = list(_archives(there))
        for container in self._containers(service):
            for archive in archives:
                target = f"/containers/{container['Id']}/archive" + query({"path": "/", "copyUIDGID": True})
                client.upload("PUT", target, [archive]).read_all()
            if gone:
                hook = {"command": ["rm", "-rf", *gone], "user": "0"}
                run_hook(self._context(), container["Id"], service, {}, hook)


def _archives(files: list[tuple[str, str]]) -> Iterable[bytes]:
    """Archives of at most MAX_BATCH bytes of content each, owners nobody's."""
    buffer, size = io.BytesIO(), 0
    archive = tarfile.open(fileobj=buffer, mode="w")  # noqa: SIM115
    for path, place in files:
        try:
            member = archive.gettarinfo(path, place.lstrip("/"))
            if member is None or member.isdir():
                continue
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            if member.isreg():
                with open(path, "rb") as file:
                    content = file.read(member.size)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                archive.addfile(member)
        except FileNotFoundError:
            continue  # gone meanwhile: the next event says so
        size += member.size
        if size >= MAX_BATCH:
            archive.close()
            yield buffer.getvalue()
            buffer, size = io.BytesIO(), 0
            archive = tarfile.open(fileobj=buffer, mode="w")  # noqa: SIM115
    archive.close()
    if size or files:
        yield buffer.getvalue()


def files_beneath(rule: Rule) -> dict[str, str]:
    """Everything that an initial sync copies."""
    if os.path.isfile(rule.path):
        paths = [rule.path]
    else:
        paths = [os.path.join(place, name) for place, _, names in os.walk(rule.path) for name in names]
    return {path: place for path in sorted(paths) if (place := rule.place_of(path))}
