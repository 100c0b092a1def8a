"""The cgroup of a container: where it is, how it is made, and what of it ends with the container."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from wharf.kernel.cgroup import Cgroup
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.state import Container
from wharf.runtime.scopes import slice_path
from wharf.spec.host import Host

SLICE = "system.slice"

_DEFAULT_RULES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),
    ("c", 1, 5, "rwm"),
    ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"),
    ("c", 5, 0, "rwm"),
    ("c", 5, 2, "rwm"),
    ("c", 136, None, "rwm"),
)
"""What every container may use (config-linux.md#default-devices), whatever the configuration forbids."""


def place(name: str, config: dict[str, Any], systemd: bool, host: Host) -> str:
    """Where the cgroup of `name` will be below each hierarchy. Raises CommandFailed."""
    given = config["linux"].get("cgroupsPath") or ""
    if not systemd:
        return _path(given or name)
    if not host.systemd_scopes:
        raise CommandFailed("systemd cgroup flag passed, but systemd support for managing cgroups is not available")
    return _scope(given or f":wharf:{name}")


def _path(given: str) -> str:
    """A cgroupsPath without systemd; the root itself is refused: it holds the whole host."""
    if given.count(":") == 2 and not given.startswith("/"):
        raise CommandFailed(f"cgroupsPath {given} is for --systemd-cgroup; without it, give a path")
    path = os.path.normpath("/" + given.lstrip("/"))
    if path == "/":
        raise CommandFailed(f"cgroupsPath {given!r} is the root of the hierarchy, which holds the whole host")
    return path


def _scope(given: str) -> str:
    """The path of the scope that `slice:prefix:name` means; the slice may be empty, for system.slice."""
    parent, prefix, name, *more = [*given.split(":"), "", ""]
    if given.count(":") != 2 or any(more):
        wanted = 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups'
        raise CommandFailed(f"{wanted}, got {given!r} instead")
    parent, unit = parent or SLICE, f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    words = parent.removesuffix(".slice").split("-")
    if parent != "-.slice" and ("/" in parent or not parent.endswith(".slice") or not all(words)):
        raise CommandFailed(f"invalid slice name: {parent}")
    if "/" in unit or not name or name.endswith(".slice"):
        raise CommandFailed(f"cgroupsPath {given!r} names no scope")
    return f"{slice_path(parent)}/{unit}"


def settle(container: Container, systemd: bool, host: Host) -> None:
    """Decide where it will be, and note in which hierarchies it is not there yet. Raises CommandFailed."""
    container.cgroup, container.scope = place(container.id, container.config, systemd, host), systemd
    cgroup = container.open_cgroup()
    points = cgroup.mount_points() if cgroup is not None else {}
    container.cgroup_made = [name for name, directory in points.items() if not os.path.isdir(directory)]


def make(container: Container) -> Cgroup | None:
    """Make it with its limits; None where the host has none, or where systemd makes it later. Raises CommandFailed."""
    cgroup = container.open_cgroup()
    if cgroup is None:
        return None
    if cgroup.pids():
        raise CommandFailed(f"container's cgroup is not empty: {container.cgroup}")
    if container.scope:
        return None
    try:
        with applying():
            cgroup.create(_resources(container))
    except CommandFailed:
        end(container)
        raise
    return cgroup


def enclose(container: Container, pid: int) -> None:
    """Have systemd make the scope around the first process, which waits, and write the limits. Raises CommandFailed."""
    scope, cgroup = container.open_scope(), container.open_cgroup()
    if scope is None or cgroup is None:
        return
    resources = _resources(container)
    with applying():
        scope.begin(pid, resources)
        cgroup.limit(resources)


@contextlib.contextmanager
def applying() -> Iterator[None]:
    """Whatever limits fail by becomes CommandFailed: the kernel's refusal, or a property that is none."""
    what = "unable to apply cgroup configuration"
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        raise CommandFailed(f"{what}: {error.strerror or error}{where}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CommandFailed(f"{what}: a property has the wrong type: {error}") from None


def _resources(container: Container) -> dict[str, Any]:
    """`linux.resources` with the device rules in full: all is denied, then the configured ones, then the default."""
    resources = dict(container.config["linux"].get("resources") or {})
    return resources | {
        "devices": [
            {"allow": False, "access": "rwm"},
            *(resources.get("devices") or ()),
            *(_rule(*rule) for rule in _DEFAULT_RULES),
        ]
    }


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    return rule | {key: value for key, value in (("major", major), ("minor", minor)) if value is not None}


def kill(container: Container) -> None:
    """SIGKILL to what is in it, as far as it is the container's: in a cgroup that was there before create there may be
    others too, and there the end of the first process is the end of its pid namespace."""
    cgroup = container.open_cgroup()
    if cgroup is None:
        return
    with contextlib.suppress(OSError):
        if not container.owns_pid_namespace() or set(cgroup.mount_points()) == set(container.made(cgroup)):
            cgroup.kill()
        elif cgroup.frozen():
            cgroup.freeze(False)


def remove(container: Container) -> None:
    """Remove what create made of it, and no more (runtime.md#delete). Raises OSError."""
    cgroup, scope = container.own_cgroup(), container.open_scope()
    if scope is not None:
        scope.end()
    if cgroup is not None:
        cgroup.remove()


def end(container: Container) -> None:
    """`kill` and `remove` where nobody can be told that it failed."""
    kill(container)
    with contextlib.suppress(OSError):
        remove(container)


def join_fds(container: Container, below: list[str]) -> list[int]:
    """What an exec enters its cgroup by: the first process's, or that which --cgroup names: `PATH`, on v1 with
    `CONTROLLER[,CONTROLLER…]:` before it. Raises CommandFailed."""
    cgroup = container.open_cgroup()
    if cgroup is None:
        return []
    if not below:
        return cgroup.join_fds_beside(container.pid)
    points = cgroup.mount_points()
    paths = dict.fromkeys(points, "")
    for name, path in _named(below):
        if name not in points:
            raise CommandFailed(
                f"unknown controller {name} in SubCgroupPaths" if name else "--cgroup needs a controller"
            )
        paths[name] = path
    file = "cgroup.procs" if set(points) == {""} else "tasks"
    return [_open_below(directory, paths[name], file) for name, directory in points.items()]


def _named(below: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for item in below:
        names, colon, path = item.rpartition(":")
        pairs += [(name, path) for name in (names.split(",") if colon else [""])]
    if len({name for name, _ in pairs}) != len(pairs):
        raise CommandFailed("invalid --cgroup argument(s): a controller is named several times")
    return pairs


def _open_below(directory: str, path: str, file: str) -> int:
    place = os.path.normpath(f"{directory}/{path}")
    if place != directory and not place.startswith(f"{directory}/"):
        raise CommandFailed(f"--cgroup {path} is not below the container's cgroup")
    try:
        return os.open(f"{place}/{file}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandFailed(f"--cgroup {path}: {os.strerror(error.errno or 0).lower()}") from None
