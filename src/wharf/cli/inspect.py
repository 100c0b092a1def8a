"""`wharf inspect` and the inspect of one kind of thing."""

from __future__ import annotations

from wharf.cli import references
from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session
from wharf.client import jsontext
from wharf.client.api import query, quote
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = {
    "container": ("/containers/{}/json", "containers"),
    "image": ("/images/{}/json", "images"),
    "network": ("/networks/{}", "networks"),
    "volume": ("/volumes/{}", "volumes"),
}
_TYPES = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
_FORMAT = ("format", "f", "string", "'json' or a Go template")
_PLATFORM = ("platform", "", "string", "Inspect a specific platform of the multi-platform image")
_SIZE = ("size", "s", "bool", "Display total file sizes if the type is container")
COMMAND = Command(
    "inspect",
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on Docker objects",
    (_FORMAT, _SIZE, ("type", "", "string", "Only inspect objects of the given type")),
    operands=(1, ANY),
    example="wharf inspect -f '{{.State.Status}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' web",
)
# A Go value that is a map (prints as map[…]) or a pointer (nil prints as <nil>); other objects are structs.
_MAPS = (
    "Labels", "Ports", "Networks", "Options", "Sysctls", "Tmpfs", "Annotations", "PortBindings", "ExposedPorts",
    "Volumes", "Config", "Data", "DriverOpts", "StorageOpt", "EndpointsConfig", "Containers", "Status", "Runtimes",
    "Storage",
)  # fmt: skip
_POINTERS = (
    "Health", "Healthcheck", "Init", "OomKillDisable", "PidsLimit", "MemorySwappiness", "StopTimeout", "IPAMConfig",
    "UsageData",
)  # fmt: skip
# Members that Docker leaves out of the JSON when they are empty: there, but zero, for a template.
_OPTIONAL = {
    "Health": None, "Healthcheck": None, "Init": None, "StopTimeout": None, "StopSignal": "", "MacAddress": "",
    "NetworkDisabled": False, "SizeRw": None, "SizeRootFs": None, "Runtime": "", "Isolation": "", "Parent": "",
    "Comment": "", "DockerVersion": "", "Author": "", "Variant": "", "OsVersion": "",
}  # fmt: skip
_OPTIONAL_MAPS = ("Tmpfs", "Sysctls", "Annotations", "StorageOpt", "ExposedPorts", "Labels")
_OPTIONAL_LISTS = ("Mounts", "Shell")


def inspect(session: Session, args: list[str]) -> int:
    """Shows things of any kind by name or id."""
    flags, names = COMMAND.parse(args)
    kind = flags.get("type", "")
    if "type" in flags and kind not in _TYPES:
        known = ", ".join(f'"{name}"' for name in _TYPES)
        raise ExitWith(f'unknown type: "{kind}": must be one of {known}')
    if kind and kind not in KINDS:
        raise ExitWith(f"wharf: inspect of type {kind} is not there yet")
    return _show(session, names, [kind] if kind else list(KINDS), flags, bool(kind))


def container_inspect(session: Session, args: list[str]) -> int:
    """`wharf container inspect`"""
    return _one_kind(session, args, "container", "CONTAINER [CONTAINER...]", (_FORMAT, _SIZE))


def image_inspect(session: Session, args: list[str]) -> int:
    """`wharf image inspect`"""
    return _one_kind(session, args, "image", "IMAGE [IMAGE...]", (_FORMAT, _PLATFORM))


def volume_inspect(session: Session, args: list[str]) -> int:
    """`wharf volume inspect`"""
    return _one_kind(session, args, "volume", "VOLUME [VOLUME...]")


def network_inspect(session: Session, args: list[str]) -> int:
    """`wharf network inspect`"""
    return _one_kind(session, args, "network", "NETWORK [NETWORK...]")


def _one_kind(
    session: Session,
    args: list[str],
    kind: str,
    usage: str,
    flags_of: tuple[tuple[str, str, str, str], ...] = (_FORMAT,),
) -> int:
    command = Command(
        f"{kind} inspect",
        f"[OPTIONS] {usage}",
        f"Display detailed information on one or more {kind}s",
        flags_of,
        operands=(1, ANY),
        example=f"wharf {kind} inspect -f '{{{{json .}}}}' NAME",
    )
    flags, names = command.parse(args)
    return _show(session, names, [kind], flags, True)


def _show(session: Session, names: list[str], kinds: list[str], flags: dict[str, Any], one: bool) -> int:
    found, complaints = [], []
    platform = references.platform(flags.get("platform", "")) or None
    parameters = {"size": flags.get("size", False), "platform": platform}
    for name in names:
        try:
            found.append(_find(session, name, kinds, parameters))
        except WharfError as error:
            if getattr(error, "status", 404) != 404:
                raise
            complaints.append(session.words(error) if one else f"Error: No such object: {name}")
    form = flags.get("format", "")
    if not form:
        session.line(jsontext.indented(found))
    elif form == "json":
        session.line(jsontext.dumps(found))
    else:
        templated(session, found, form)
    for complaint in complaints:
        session.complain(complaint)
    return 1 if complaints else 0


def _find(session: Session, name: str, kinds: list[str], parameters: dict[str, Any]) -> Any:
    client = session.client()
    for position, kind in enumerate(kinds):
        safe = "/:@" if kind == "image" else ""
        path = KINDS[kind][0].format(quote(name, safe))
        try:
            return client.get(path + query(parameters if kind in ("container", "image") else {}))
        except WharfError as error:
            missing = getattr(error, "status", 0) in (404, 501)
            if position == len(kinds) - 1 or not missing:
                raise
    raise AssertionError("no kinds")


def templated(session: Session, found: list[Any], form: str) -> None:
    """Each thing by a Go template, a line each; raises ExitWith."""
    from wharf.cli.template import Template
    from wharf.cli.template_functions import TemplateError

    try:
        template = Template(form)
    except TemplateError as error:
        raise ExitWith(f"template parsing error: template: {error.message}", 64) from None
    for item in found:
        try:
            session.line(template.execute(typed(item), _missing))
        except TemplateError as error:
            session.line("")
            raise ExitWith(f"template parsing error: template: :1:2: {error.message}") from None


def typed(value: Any, key: str = "") -> Any:
    """JSON as Go's types would hold it, so that a template prints maps, structs and nils as docker does."""
    from wharf.cli.template_functions import GoMap, NilList, NilMap

    if value is None:
        return None if key in _POINTERS else NilMap() if key in _MAPS else NilList()
    if isinstance(value, dict):
        items = {name: typed(item, name) for name, item in value.items()}
        return GoMap(items) if key in _MAPS and "Hostname" not in value else items
    if isinstance(value, list):
        return [typed(item) for item in value]
    return value


def _missing(path: tuple[str, ...]) -> Any:
    from wharf.cli.template import fail_on_missing
    from wharf.cli.template_functions import NilList, NilMap, NoValue

    name = path[-1]
    if len(path) > 1 and path[-2] in _MAPS and path[-2] != "Config":
        return NoValue()
    if name in _OPTIONAL:
        return _OPTIONAL[name]
    if name in _OPTIONAL_MAPS:
        return NilMap()
    if name in _OPTIONAL_LISTS:
        return NilList()
    return fail_on_missing(path)
