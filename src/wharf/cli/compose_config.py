"""`wharf compose config` and `version`."""

from __future__ import annotations

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.compose.load import Options
    from wharf.compose.project import Project

CONFIG = command(
    "config",
    "[OPTIONS] [SERVICE...]",
    "Parse, resolve and render compose file in canonical format",
    (
        ("environment", "", "bool", "Print environment used for interpolation"),
        ("format", "", "string", "Format the output. Values: [yaml | json]"),
        ("hash", "", "string", "Print the service config hash, one per line"),
        ("images", "", "bool", "Print the image names, one per line"),
        ("lock-image-digests", "", "bool", "Produces an override file with image digests"),
        ("models", "", "bool", "Print the model names, one per line"),
        ("networks", "", "bool", "Print the network names, one per line"),
        ("no-consistency", "", "bool", "Don't check model consistency"),
        ("no-env-resolution", "", "bool", "Don't resolve service env files"),
        ("no-interpolate", "", "bool", "Don't interpolate environment variables"),
        ("no-normalize", "", "bool", "Don't normalize compose model"),
        ("no-path-resolution", "", "bool", "Don't resolve file paths"),
        ("output", "o", "string", "Save to file (default to stdout)"),
        ("profiles", "", "bool", "Print the profile names, one per line"),
        ("quiet", "q", "bool", "Only validate the configuration, don't print anything"),
        ("resolve-image-digests", "", "bool", "Pin image tags to digests"),
        ("services", "", "bool", "Print the service names, one per line"),
        ("variables", "", "bool", "Print model variables and default values"),
        ("volumes", "", "bool", "Print the volume names, one per line"),
    ),
    example="wharf compose config --services",
)
VERSION = command(
    "version",
    "[OPTIONS]",
    "Show the version",
    (
        ("format", "f", "string", "Format the output. Values: [pretty | json]"),
        ("short", "", "bool", "Shows only the version number"),
    ),
    operands=(0, 0),
)


def config(compose: Compose, args: list[str]) -> int:
    """Prints the project, or one aspect of it."""
    flags, names = CONFIG.parse(args)
    listing = next((name for name in _LISTINGS if flags.get(name)), None)
    if listing:
        for line in _LISTINGS[listing](compose, flags, names):
            if not flags.get("quiet"):
                compose.session.line(line)
        return 0
    from wharf.compose.collector import Paused

    form = flags.get("format") or "yaml"
    with Paused():
        text = _model_text(compose, flags, form) if flags.get("no-interpolate") else _text(compose, flags, names, form)
    if flags.get("quiet"):
        return 0
    if flags.get("output"):
        with open(flags["output"], "w", encoding="utf-8") as file:
            file.write(text)
    else:
        compose.session.write(text)
    return 0


convert = config


def _options(compose: Compose, flags: dict[str, Any], resolve_env: bool) -> Options:
    from wharf.compose.load import Options

    return Options(
        interpolate=not flags.get("no-interpolate"),
        normalize=not flags.get("no-normalize") and not compose.compatibility,
        resolve_paths=not flags.get("no-path-resolution"),
        consistency=not flags.get("no-consistency"),
        resolve_env=resolve_env,
    )


def _checked_format(form: str) -> str:
    if form not in ("yaml", "json"):
        raise ExitWith(f'unsupported format "{form}"')
    return form


def _text(compose: Compose, flags: dict[str, Any], names: list[str], form: str) -> str:
    from wharf.compose.check import check_container_names
    from wharf.compose.render import to_json, to_yaml

    project = compose.project(names, _options(compose, flags, True))
    if flags.get("resolve-image-digests") or flags.get("lock-image-digests"):
        project = _pinned(compose, project)
    if not flags.get("no-env-resolution"):
        project = project.with_environment_resolved(True)
    if not flags.get("no-consistency"):
        check_container_names(project.services)
    if flags.get("lock-image-digests"):
        project = _images_only(project)
    text = to_json(project) if _checked_format(form) == "json" else to_yaml(project)
    return text.replace("$", "$$")


def _images_only(project: Project) -> Project:
    from wharf.compose.record import replace

    services = {name: {"image": item.get("image", "")} for name, item in project.services.items()}
    return replace(project, name="", services=services, networks={}, volumes={}, secrets={}, configs={}, models={},
                   extensions={})  # fmt: skip


def _pinned(compose: Compose, project: Project) -> Project:
    """Images by digest, as the registries tell the engine."""
    from wharf.compose.record import replace

    services = {}
    for name, service in project.services.items():
        image = service.get("image", "")
        services[name] = {**service, "image": _digested(compose, image)} if image and "@" not in image else service
    return replace(project, services=services)


def _digested(compose: Compose, image: str) -> str:
    from wharf.spec.reference import Reference

    found = compose.session.client().get(f"/distribution/{image}/json")
    return f"{Reference.parse(image).with_default_tag().canonical()}@{found['Descriptor']['digest']}"


def _model_text(compose: Compose, flags: dict[str, Any], form: str) -> str:
    from wharf.compose.render import model_to_text

    return model_to_text(_model(compose, flags), _checked_format(form))


def _model(compose: Compose, flags: dict[str, Any]) -> dict[str, Any]:
    from wharf.compose.load import Loader
    from wharf.compose.sources import find_sources

    loader = Loader(find_sources(compose.request), _options(compose, flags, False))
    try:
        return loader.load()
    finally:
        compose.warn(loader.warnings)


def _project(compose: Compose, flags: dict[str, Any], names: list[str]) -> Project:
    return compose.project(names, _options(compose, flags, False))


def _services(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    if flags.get("no-interpolate"):
        return sorted(_model(compose, flags).get("services") or ())
    from wharf.compose.order import in_order

    return in_order(_project(compose, flags, []).services)


def _images(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    project = _project(compose, flags, names)
    return [item.get("image") or f"{project.name}-{name}" for name, item in sorted(project.services.items())]


def _profiles(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    services = _project(compose, flags, names).all_services().values()
    return sorted({profile for service in services for profile in service.get("profiles") or ()})


def _hashes(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    from wharf.compose.hashes import service_hash
    from wharf.compose.platforms import with_platforms

    project = with_platforms(_project(compose, flags, []))
    wanted = sorted(project.services) if flags["hash"] == "*" else sorted(flags["hash"].split(","))
    return [f"{name} {service_hash(project.service(name))}" for name in wanted]


def _environment(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    project = compose.project(names, _options(compose, flags, True))
    return sorted(f"{key}={value}" for key, value in project.environment.items())


def _variables(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    from wharf.cli.table import align
    from wharf.compose.substitute import variables

    found: dict[str, tuple[str, str, str, bool]] = {}

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.update({item[0]: item for item in variables(value)})
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    walk(_model(compose, {**flags, "no-interpolate": True}))
    rows = [[name, str(required).lower(), default, presence] for name, default, presence, required in found.values()]
    header = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]
    return align([header, *sorted(rows)], 20, 1).splitlines()


def _models(compose: Compose, flags: dict[str, Any], names: list[str]) -> list[str]:
    models = _project(compose, flags, []).models
    return sorted(item["model"] for item in models.values() if item.get("model"))


_LISTINGS: dict[str, Any] = {
    "services": _services,
    "volumes": lambda compose, flags, names: sorted(_project(compose, flags, []).volumes),
    "networks": lambda compose, flags, names: sorted(_project(compose, flags, []).networks),
    "models": _models,
    "hash": _hashes,
    "profiles": _profiles,
    "images": _images,
    "variables": _variables,
    "environment": _environment,
}


def version(compose: Compose, args: list[str]) -> int:
    """Our version, and the docker compose whose behaviour this follows."""
    from wharf import __version__

    flags, _ = VERSION.parse(args)
    if flags.get("short"):
        compose.session.line(__version__)
    elif flags.get("format") == "json":
        compose.session.line(f'{{"version":"{__version__}"}}')
    else:
        compose.session.line(f"Wharf Compose version {__version__}")
    return 0
