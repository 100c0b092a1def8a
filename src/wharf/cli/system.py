"""`wharf version`, `wharf info` and `wharf events`."""

from __future__ import annotations

import os
import sys
import time

from wharf import __version__
from wharf.cli import units
from wharf.cli.flags import Command
from wharf.cli.listing import add_filters, filter_flag
from wharf.cli.session import ExitWith, Session
from wharf.client import jsontext
from wharf.client.api import API_VERSION, query
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT = ("format", "f", "string", "'json' or a Go template")
VERSION = Command(
    "version",
    "[OPTIONS]",
    "Show the version information of client and server",
    (_FORMAT,),
    example="wharf version -f '{{.Server.Version}}'",
)
INFO = Command(
    "info",
    "[OPTIONS]",
    "Display system-wide information",
    (_FORMAT,),
    example="wharf info -f '{{.Driver}} {{.CgroupVersion}}'",
    aliases="wharf system info, wharf info",
)
EVENTS = Command(
    "events",
    "[OPTIONS]",
    "Get real time events from the server",
    (
        ("filter", "f", "list:filter", "Filter output based on conditions provided"),
        ("format", "", "string", "'json' or a Go template"),
        ("since", "", "string", "Show all events created since timestamp"),
        ("until", "", "string", "Stream events until this timestamp"),
    ),
    checks={"filter": filter_flag},
    example="wharf events --since 10m --filter type=container --format '{{.Action}} {{.Actor.ID}}'",
    aliases="wharf system events, wharf events",
)


def render(session: Session, value: Any, form: str) -> None:
    """One value by `--format`: JSON or a template."""
    if form == "json":
        session.line(jsontext.dumps(value))
        return
    from wharf.cli.inspect import typed
    from wharf.cli.template import Template
    from wharf.cli.template_functions import TemplateError

    try:
        session.line(Template(form).execute(typed(value)))
    except TemplateError as error:
        raise ExitWith(f"template parsing error: template: {error.message}", 64) from None


def _client_version() -> dict[str, Any]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return {
        "Platform": {"Name": ""},
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": ".".join(str(part) for part in sys.version_info[:3]),
        "Os": "linux",
        "Arch": machine,
        "Context": os.environ.get("DOCKER_CONTEXT") or "default",
    }


def version(session: Session, args: list[str]) -> int:
    """Shows both versions; the client's also when no server answers."""
    flags, _ = VERSION.parse(args)
    failure = None
    server: Any = None
    try:
        server = session.client().get("/version")
    except WharfError as error:
        failure = error
    for component in (server or {}).get("Components") or []:
        details = component.get("Details") or {}
        if "BuildTime" in details:
            details["BuildTime"] = _build_time(details["BuildTime"])
    client = _client_version()
    if flags.get("format"):
        if failure is not None and "Server" in flags["format"]:
            raise failure
        render(session, {"Client": client, "Server": server}, flags["format"])
    else:
        session.write(_client_text(client) + (_server_text(server) if server else ""))
    if failure is not None:
        raise failure
    return 0


def _build_time(text: str) -> str:
    parsed = units.parse_rfc3339(text)
    return time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(parsed[0])) if parsed else text


def _field(indent: str, name: str, value: Any) -> str:
    return f"{indent}{name}:".ljust(20) + f"{value}\n"


def _client_text(client: dict[str, Any]) -> str:
    return "Client:\n" + "".join(
        (
            _field(" ", "Version", client["Version"]),
            _field(" ", "API version", client["ApiVersion"]),
            _field(" ", "Python version", client["PythonVersion"]),
            _field(" ", "OS/Arch", f"{client['Os']}/{client['Arch']}"),
            _field(" ", "Context", client["Context"]),
        )
    )


_ENGINE_DETAILS = (
    ("Go version", "GoVersion"),
    ("Python version", "PythonVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
)


def _server_text(server: dict[str, Any]) -> str:
    out = "\nServer" + (f": {server['Platform']['Name']}" if (server.get("Platform") or {}).get("Name") else ":") + "\n"
    for component in server.get("Components") or []:
        details = component.get("Details") or {}
        out += f" {component['Name']}:\n" + _field("  ", "Version", component["Version"])
        if component["Name"] in ("Engine", "Wharf"):
            out += _field(
                "  ", "API version", f"{details.get('ApiVersion')} (minimum version {details.get('MinAPIVersion')})"
            )
            for label, key in _ENGINE_DETAILS:
                if details.get(key):
                    out += _field("  ", label, details[key])
            out += _field("  ", "OS/Arch", f"{details.get('Os')}/{details.get('Arch')}")
            out += _field("  ", "Experimental", details.get("Experimental", "false"))
        elif details.get("GitCommit"):
            out += _field("  ", "GitCommit", details["GitCommit"])
    return out


def info(session: Session, args: list[str]) -> int:
    """Shows what the daemon is and has."""
    flags, _ = INFO.parse(args)
    found = session.client().get("/info")
    if flags.get("format"):
        client = {"Context": "default", "Debug": session.debug, "Version": __version__}
        render(session, {**found, "ClientInfo": client}, flags["format"])
        return 0
    session.write(f"Client:\n Version:    {__version__}\n Context:    default\n Debug Mode: {_bool(session.debug)}\n\n")
    session.write("Server:\n" + "".join(f" {line}\n" for line in _info_lines(found)))
    for warning in found.get("Warnings") or []:
        session.complain(warning)
    return 0


def _bool(value: Any) -> str:
    return "true" if value else "false"


_PLAIN_INFO = (
    ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("OSType", "OSType"),
    ("Architecture", "Architecture"), ("CPUs", "NCPU"),
)  # fmt: skip


def _info_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"Containers: {found.get('Containers', 0)}"]
    lines += [f" {name}: {found.get('Containers' + name, 0)}" for name in ("Running", "Paused", "Stopped")]
    lines += [f"Images: {found.get('Images', 0)}", f"Server Version: {found.get('ServerVersion', '')}"]
    lines.append(f"Storage Driver: {found.get('Driver', '')}")
    lines += [f" {name}: {value}" for name, value in found.get("DriverStatus") or []]
    lines.append(f"Logging Driver: {found.get('LoggingDriver', '')}")
    lines += [f"Cgroup Driver: {found.get('CgroupDriver', '')}", f"Cgroup Version: {found.get('CgroupVersion', '')}"]
    plugins = found.get("Plugins") or {}
    lines.append("Plugins:")
    lines += [
        f" {name}: {' '.join(plugins.get(name) or [])}" for name in ("Volume", "Network", "Log") if plugins.get(name)
    ]
    lines.append(f"Swarm: {(found.get('Swarm') or {}).get('LocalNodeState', 'inactive')}")
    lines.append(f"Runtimes: {' '.join(sorted(found.get('Runtimes') or {}))}")
    lines.append(f"Default Runtime: {found.get('DefaultRuntime', '')}")
    if found.get("SecurityOptions"):
        lines.append("Security Options:")
        for option in found["SecurityOptions"]:
            name, *rest = [part.partition("=")[::2] for part in option.split(",")]
            lines.append(f" {name[1] or name[0]}")
            lines += [f"  {key.capitalize()}: {value}" for key, value in rest]
    lines += [f"{label}: {found.get(key, '')}" for label, key in _PLAIN_INFO]
    lines.append(f"Total Memory: {units.bytes_size(found.get('MemTotal', 0))}")
    lines += [f"Name: {found.get('Name', '')}", f"ID: {found.get('ID', '')}"]
    lines += [f"Docker Root Dir: {found.get('DockerRootDir', '')}", f"Debug Mode: {_bool(found.get('Debug'))}"]
    lines.append(f"Experimental: {_bool(found.get('ExperimentalBuild'))}")
    if found.get("Labels"):
        lines += ["Labels:", *(f" {label}" for label in found["Labels"])]
    lines.append(f"Live Restore Enabled: {_bool(found.get('LiveRestoreEnabled'))}")
    return lines


def events(session: Session, args: list[str]) -> int:
    """Prints events as they come, from `--since` until `--until`."""
    flags, _ = EVENTS.parse(args)
    parameters = {
        "since": _instant(flags.get("since", "")),
        "until": _instant(flags.get("until", "")),
        "filters": add_filters(flags.get("filter", [])),
    }
    response = session.client().request("GET", "/events" + query(parameters))
    form = flags.get("format", "")
    for event in session.client().lines(response):
        if form:
            render(session, event, form)
        else:
            session.line(_event_line(event))
        sys.stdout.flush()
    return 0


def _instant(text: str) -> str:
    try:
        return units.timestamp(text) if text else ""
    except ValueError as error:
        raise ExitWith(str(error)) from None


def _event_line(event: dict[str, Any]) -> str:
    nanoseconds = event.get("timeNano") or event.get("time", 0) * 10**9
    moment = time.localtime(nanoseconds // 10**9)
    zone = time.strftime("%z", moment)
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{nanoseconds % 10**9:09d}{shown}"
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    pairs = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    line = f"{text} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{line} ({pairs})" if pairs else line
