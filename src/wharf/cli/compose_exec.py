"""`wharf compose exec`, `attach`, `cp`, `export` and `commit`: a service's container in the place of a name."""

from __future__ import annotations

import sys

from wharf.cli.compose import Compose, command
from wharf.cli.compose_ps import one_container
from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INDEX = ("index", "", "int", "Index of the container if service has multiple replicas")
EXEC = command(
    "exec",
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    "Execute a command in a running container",
    (
        ("detach", "d", "bool", "Detached mode: Run command in the background"),
        ("env", "e", "list", "Set environment variables"),
        _INDEX,
        ("interactive", "i", "bool", "Keep STDIN open even if not attached"),
        ("no-TTY", "T", "bool", "Disable pseudo-TTY allocation"),
        ("privileged", "", "bool", "Give extended privileges to the process"),
        ("tty", "t", "bool", "Allocate a pseudo-TTY"),
        ("user", "u", "string", "Run the command as this user"),
        ("workdir", "w", "string", "Path to workdir directory for this command"),
    ),
    operands=(2, -1),
    interspersed=False,
    example="wharf compose exec web sh",
)
ATTACH = command(
    "attach",
    "[OPTIONS] SERVICE",
    "Attach local standard input, output, and error streams to a service's running container",
    (
        ("detach-keys", "", "string", "Override the key sequence for detaching from a container"),
        _INDEX,
        ("no-stdin", "", "bool", "Do not attach STDIN"),
        ("sig-proxy", "", "bool", "Proxy all received signals to the process"),
    ),
    operands=(1, 1),
)
CP = command(
    "cp",
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|- or SRC_PATH|- SERVICE:DEST_PATH",
    "Copy files/folders between a service container and the local filesystem",
    (
        ("all", "", "bool", "Include containers created by the run command"),
        ("archive", "a", "bool", "Archive mode (copy all uid/gid information)"),
        ("follow-link", "L", "bool", "Always follow symbol link in SRC_PATH"),
        _INDEX,
    ),
    operands=(2, 2),
)
EXPORT = command(
    "export",
    "[OPTIONS] SERVICE",
    "Export a service container's filesystem as a tar archive",
    (_INDEX, ("output", "o", "string", "Write to a file, instead of STDOUT")),
    operands=(1, 1),
)
COMMIT = command(
    "commit",
    "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    "Create a new image from a service container's changes",
    (
        ("author", "a", "string", "Author"),
        ("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        _INDEX,
        ("message", "m", "string", "Commit message"),
        ("pause", "p", "bool", "Pause container during commit"),
    ),
    operands=(1, 2),
)


def exec_(compose: Compose, args: list[str]) -> int:
    """Runs a command in a service's container; with a terminal where there is one."""
    flags, (service, *words) = EXEC.parse(args)
    from wharf.cli.execute import exec as wharf_exec

    container = one_container(compose, service, flags.get("index"))
    tty = not flags.get("no-TTY") and flags.get("tty", sys.stdin.isatty() and sys.stdout.isatty())
    given = []
    if not flags.get("detach"):
        given += ["-i"] if flags.get("interactive", True) else []
        given += ["-t"] if tty else []
    given += ["-d"] if flags.get("detach") else []
    given += [f"--env={text}" for text in flags.get("env", ())]
    given += [f"--{name}={flags[name]}" for name in ("user", "workdir") if flags.get(name)]
    given += ["--privileged"] if flags.get("privileged") else []
    return wharf_exec(compose.session, [*given, container["Id"], *words])


def attach(compose: Compose, args: list[str]) -> int:
    """Attaches to a service's container."""
    flags, (service,) = ATTACH.parse(args)
    from wharf.cli.start import attach as wharf_attach

    container = one_container(compose, service, flags.get("index"))
    words = ["--no-stdin"] if flags.get("no-stdin") else []
    words += [f"--detach-keys={flags['detach-keys']}"] if flags.get("detach-keys") else []
    words += [f"--sig-proxy={str(flags['sig-proxy']).lower()}"] if "sig-proxy" in flags else []
    return wharf_attach(compose.session, [*words, container["Id"]])


def cp(compose: Compose, args: list[str]) -> int:
    """Copies out of a service's container, or into each of them."""
    flags, (source, target) = CP.parse(args)
    from wharf.cli.compose_down import containers_of
    from wharf.cli.copy import cp as wharf_cp
    from wharf.compose import labels

    words = ["-a"] if flags.get("archive") else []
    words += ["-L"] if flags.get("follow-link") else []
    from_service, to_service = _service(source), _service(target)
    if from_service and to_service:
        raise ExitWith("copying between services is not supported")
    if not from_service and not to_service:
        raise ExitWith("unknown copy direction")
    service = from_service or to_service
    one_off = None if flags.get("all") else False
    found = containers_of(compose, [service], all=True, one_off=one_off, known=False)
    if not found:
        raise ExitWith(f'no container found for service "{service}"')
    if from_service or flags.get("index"):
        found = [one_container(compose, service, flags.get("index"), all=True)]
    status = 0
    for item in found:
        name = labels.name_of(item)
        place = [name + source[len(service) :], target] if from_service else [source, name + target[len(service) :]]
        status = wharf_cp(compose.session, [*words, *place]) or status
    return status


def _service(text: str) -> str:
    """The service of `service:path`; a path that begins with a slash or a dot has none."""
    name, colon, _ = text.partition(":")
    return name if colon and name and not text.startswith((".", "/")) else ""


def export(compose: Compose, args: list[str]) -> int:
    """Writes a service's container's file system as an archive."""
    flags, (service,) = EXPORT.parse(args)
    from wharf.cli.archives import export as wharf_export

    container = one_container(compose, service, flags.get("index"), all=True)
    words = [f"--output={flags['output']}"] if flags.get("output") else []
    return wharf_export(compose.session, [*words, container["Id"]])


def commit(compose: Compose, args: list[str]) -> int:
    """Makes an image of a service's container."""
    flags, (service, *name) = COMMIT.parse(args)
    from wharf.cli.images import commit as wharf_commit

    container = one_container(compose, service, flags.get("index"), all=True)
    words: list[Any] = [f"--{key}={flags[key]}" for key in ("author", "message") if flags.get(key)]
    words += [f"--change={text}" for text in flags.get("change", ())]
    words += [f"--pause={str(flags['pause']).lower()}"] if "pause" in flags else []
    return wharf_commit(compose.session, [*words, container["Id"], *name])
