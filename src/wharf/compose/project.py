"""A project: typed services, networks, volumes, secrets, configs, models; what is enabled and selected (pure).

`Project.load()` reads files; every `with_…` gives another project. Services are dicts by the attributes' names, values
as `shapes.py` says: durations are nanoseconds, sizes bytes, ports, volumes and the like in their long forms.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Mapping

from wharf.compose import tree
from wharf.compose.check import check_consistency
from wharf.compose.collector import Paused
from wharf.compose.decode import decode, gather_extensions
from wharf.compose.dotenv import parse_raw, parse_variables
from wharf.compose.interpolate import PathError
from wharf.compose.load import Loader, Located, Options
from wharf.compose.record import Record, field, replace
from wharf.compose.shapes import EXTENSIONS
from wharf.compose.sources import Request, Sources, find_sources, read_file
from wharf.compose.yamlfile import line_of
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Service = dict[str, "Any"]


class Project(Record, frozen=True):
    """What the files say, and what of it is wanted."""

    name: str
    directory: str
    files: tuple[str, ...]
    environment: Mapping[str, str]
    services: dict[str, Service]
    disabled: dict[str, Service] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)
    volumes: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    """Those that were named, for the containers' label."""
    warnings: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Variables that containers get beside those of the files, which count more."""

    def service(self, name: str) -> Service:
        """An enabled service; raises Invalid with docker compose's words."""
        if name not in self.services:
            reason = ": disabled" if name in self.disabled else ": not found"
            raise Invalid(f"no such service: {name}{reason}")
        return self.services[name]

    def all_services(self) -> dict[str, Service]:
        """Enabled and disabled ones."""
        return {**self.services, **self.disabled}

    # -- profiles and selection

    def with_profiles(self, profiles: Iterable[str]) -> Project:
        """Services of these profiles (and those of none) enabled, the others not."""
        wanted = tuple(profiles)
        every = self.all_services()
        enabled = {name: item for name, item in every.items() if _has_profile(item, wanted)}
        disabled = {name: item for name, item in every.items() if name not in enabled}
        return replace(self, services=enabled, disabled=disabled, profiles=wanted)

    def with_enabled(self, names: Iterable[str]) -> Project:
        """Services that are named on a command line enable their profiles."""
        chosen = list(names)
        if not chosen:
            return self
        profiles = list(self.profiles)
        for name in chosen:
            if name not in self.services:
                profiles += self.disabled.get(name, {}).get("profiles") or []
        return self.with_profiles(profiles)

    def with_selected(self, names: Iterable[str], dependencies: bool = True) -> Project:
        """The named services and what they depend on; raises Invalid when there is none of a name."""
        chosen = list(names)
        if not chosen:
            return self
        kept = self._closure(chosen, dependencies)
        services = {}
        for name, service in self.services.items():
            if name in kept:
                depends = {key: how for key, how in (service.get("depends_on") or {}).items() if key in kept}
                services[name] = {**service, "depends_on": depends} if service.get("depends_on") else service
        dropped = {name: item for name, item in self.services.items() if name not in kept}
        return replace(self, services=services, disabled={**self.disabled, **dropped})

    def _closure(self, names: list[str], dependencies: bool) -> set[str]:
        kept: set[str] = set()
        waiting = [(name, True) for name in names]
        while waiting:
            pattern, required = waiting.pop()
            found = [pattern] if pattern in self.services else fnmatch.filter(self.services, pattern)
            if not found and required:
                raise Invalid(f"no such service: {pattern}")
            for name in found:
                if name in kept:
                    continue
                kept.add(name)
                if dependencies:
                    depends = self.services[name].get("depends_on") or {}
                    waiting += [(other, bool(how.get("required"))) for other, how in depends.items()]
        return kept

    def without_unused(self) -> Project:
        """Networks, volumes, secrets, configs and models that an enabled service uses."""
        used: dict[str, set[str]] = {kind: set() for kind in ("networks", "volumes", "secrets", "configs", "models")}
        for service in self.services.values():
            used["networks"].update(service.get("networks") or ())
            used["models"].update(service.get("models") or ())
            used["volumes"].update(
                item["source"]
                for item in service.get("volumes") or ()
                if item.get("type") == "volume" and item.get("source")
            )
            secrets = [*(service.get("secrets") or ()), *((service.get("build") or {}).get("secrets") or ())]
            used["secrets"].update(item.get("source", "") for item in secrets)
            used["configs"].update(item.get("source", "") for item in service.get("configs") or ())
        kept: Any = {kind: {key: item for key, item in getattr(self, kind).items() if key in names}
                for kind, names in used.items()}  # fmt: skip
        return replace(self, **kept)

    def with_scale(self, name: str, count: int) -> Project:
        """A service with another number of containers."""
        service = {**self.service(name), "scale": count}
        if service.get("deploy") is not None:
            service["deploy"] = {**service["deploy"], "replicas": count}
        return replace(self, services={**self.services, name: service})

    # -- files of variables and labels

    def with_environment_resolved(self, discard: bool) -> Project:
        """`env_file`s read into `environment`; `discard` forgets them then. Raises Invalid."""
        return replace(self, services={name: self._environment_of(item, discard)
                                       for name, item in self.services.items()})  # fmt: skip

    def _environment_of(self, service: Service, discard: bool) -> Service:
        own = service.get("environment") or {}
        files = service.get("env_file") or ()
        if not own and not files:
            return service
        own = {key: self.environment.get(key) if value is None else value for key, value in own.items()}
        values = {key: value for key, value in own.items() if value is not None}

        def lookup(key: str) -> str | None:
            return self.environment.get(key, own.get(key))

        for entry in files:
            path = entry.get("path", "")
            if not os.path.exists(path):
                if entry.get("required"):
                    raise Invalid(f"env file {path} not found: stat {path}: no such file or directory")
                continue
            read_variables(path, values, lookup, entry.get("format", ""))
        result = {**service, "environment": {**values, **own}}
        if discard:
            result.pop("env_file", None)
        return result

    def with_labels_resolved(self, discard: bool) -> Project:
        """`label_file`s read into `labels`; raises Invalid."""
        services = {}
        for name, service in self.services.items():
            labels: dict[str, str] = {}
            for path in service.get("label_file") or ():
                if not os.path.exists(path):
                    raise Invalid(f"label file {path} not found: stat {path}: no such file or directory")
                found: dict[str, str] = {}
                read_variables(path, found, labels.get, "")
                labels.update(found)
            services[name] = service
            if labels:
                services[name] = {**service, "labels": {**labels, **(service.get("labels") or {})}}
            if discard and service.get("label_file"):
                services[name] = {key: item for key, item in services[name].items() if key != "label_file"}
        return replace(self, services=services)

    # -- through an engine

    def up(
        self,
        *,
        wait: bool = False,
        wait_timeout: float | None = None,
        build: bool | None = None,
        recreate: str = "diverged",
        host: str = "",
        report: Callable[[str, str], None] | None = None,
    ) -> Project:
        """Makes the project be there, as `wharf compose up -d` does; the project as it is then.

        `wait` returns when everything runs or is healthy; `wait_timeout` is in seconds. `build`: True builds what can
        be built, False nothing, None what is missing. `recreate`: `diverged`, `force` or `never`. `host` is an address
        as in DOCKER_HOST. `report` is told (subject, status). Raises WharfError with the first thing that fails.
        """
        from wharf.compose.library import surroundings
        from wharf.compose.planning import UpOptions
        from wharf.compose.run_project import up

        around = surroundings(host, report)
        try:
            options = UpOptions(recreate=recreate, recreate_dependencies=recreate, wait=wait)
            return up(self, around, options, build, wait_timeout).project
        finally:
            around.engine.close()

    def down(
        self,
        *,
        volumes: bool = False,
        images: str = "",
        timeout: int | None = None,
        host: str = "",
        report: Callable[[str, str], None] | None = None,
    ) -> None:
        """Takes the project away: containers, networks, with `volumes` its volumes, with `images` (`local`, `all`)
        its images. `timeout`: seconds before a container is killed. Raises WharfError.
        """
        from wharf.compose.library import surroundings
        from wharf.compose.plan_down import DownOptions
        from wharf.compose.run_project import down

        around = surroundings(host, report)
        try:
            down(self.name, self, around, DownOptions((), volumes, images, True, timeout))
        finally:
            around.engine.close()

    def containers(self, service: str = "", *, host: str = "") -> list[dict[str, Any]]:
        """The project's containers, or a service's, as the engine lists them."""
        from wharf.compose import labels
        from wharf.compose.library import surroundings
        from wharf.compose.observed import project_containers

        around = surroundings(host, None)
        try:
            more = (f"{labels.SERVICE}={service}",) if service else ()
            found = project_containers(around.engine.client, self.name, f"{labels.ONE_OFF}=False", *more)
            return sorted(found, key=labels.name_of)
        finally:
            around.engine.close()

    @classmethod
    def load(
        cls,
        files: Iterable[str] = (),
        *,
        directory: str = "",
        name: str = "",
        env_files: Iterable[str] = (),
        profiles: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Project:
        """Reads a project as `wharf compose` does; without files, those of the usual names. Raises Invalid."""
        request = Request(list(files), directory, name, list(env_files), list(profiles), environment)
        return load_project(request)


def read_variables(path: str, values: dict[str, str], lookup: Callable[[str], str | None], format: str) -> None:
    """Adds the variables of an `env_file`; raises Invalid with the file's name."""
    if format not in ("", ".env", "raw"):
        raise Invalid(f'unsupported env_file format "{format}"')
    try:
        if format == "raw":
            parse_raw(read_file(path), values)
        else:
            parse_variables(read_file(path), values, lookup)
    except Invalid as error:
        raise Invalid(f"failed to read {path}: {error.message}") from None


def _has_profile(service: Service, profiles: tuple[str, ...]) -> bool:
    own = service.get("profiles") or ()
    return not own or "*" in profiles or any(profile in profiles for profile in own)


def load_project(request: Request, options: Options = Options(), sources: Sources | None = None) -> Project:
    """All pure stages but selection; raises Invalid."""
    with Paused():
        return _load(request, options, sources or find_sources(request))


def _load(request: Request, options: Options, sources: Sources) -> Project:
    loader = Loader(sources, options)
    model = loader.load()
    project = _typed(model, loader, sources, tuple(request.env_files))
    project = project.with_profiles(sources.profiles)
    if options.consistency:
        try:
            check_consistency(
                {kind: getattr(project, kind) for kind in ("networks", "volumes", "secrets", "configs", "models")},
                project.services,
                project.disabled,
            )
        except PathError as error:
            raise located(error, sources) from None
    if options.resolve_env:
        project = project.with_environment_resolved(options.discard_env_files)
    return project.with_labels_resolved(options.discard_env_files)


def located(error: PathError, sources: Sources) -> Invalid:
    """The error with the file and line that its path is found at."""
    for file in reversed(sources.files):
        line = line_of(sources.texts.get(file, b""), list(error.path))
        if line:
            return Located(error.message, file, line)
    return error


def _decoding_failed(message: str, sources: Sources) -> Invalid:
    """`'services[web].cpus' …`: the words of compose-go's decoder, with the place."""
    path = re.sub(r"\[|\]", ".", message.split("'")[1]) if message.startswith("'") else ""
    parts = tuple(part for part in path.split(".") if part)
    text = f"decoding failed due to the following error(s):\n\n{message}"
    return located(PathError(text, parts), sources)


def _typed(model: tree.Tree, loader: Loader, sources: Sources, env_files: tuple[str, ...]) -> Project:
    model.pop("name", None)
    gather_extensions(model)
    for secret in (model.get("secrets") or {}).values():
        extensions = secret.get(EXTENSIONS) if isinstance(secret, dict) else None
        if extensions and "x-#value" in extensions:
            secret["content"] = extensions.pop("x-#value")
    try:
        typed = decode({key: item for key, item in model.items() if key != EXTENSIONS}, "Project")
    except Invalid as error:
        raise _decoding_failed(error.message, sources) from None
    return Project(
        name=loader.name,
        directory=sources.directory,
        files=tuple(sources.files),
        environment=sources.environment,
        services=typed.get("services") or {},
        networks=typed.get("networks") or {},
        volumes=typed.get("volumes") or {},
        secrets=typed.get("secrets") or {},
        configs=typed.get("configs") or {},
        models=typed.get("models") or {},
        extensions=model.get(EXTENSIONS) or {},
        env_files=env_files,
        warnings=tuple(loader.warnings),
    )
