"""`--userns-remap`: from a user's name to the ids that containers have on the host (subuid(5), subgid(5))."""

import grp
import os
import pwd
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.spec.container import HostConfig
from wharf.spec.host import Host
from wharf.spec.mount import IdMap

DEFAULT_USER = "dockremap"
"""Docker's name for `default`."""
MAX_FILE = 1 << 20
MAX_ID = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class IdMaps:
    """The maps of a user namespace: ids inside to ids on the host."""

    uid: tuple[IdMap, ...]
    gid: tuple[IdMap, ...]

    def as_oci(self) -> dict[str, list[dict[str, int]]]:
        """`uidMappings` and `gidMappings` of `linux`."""
        return {"uidMappings": _oci(self.uid), "gidMappings": _oci(self.gid)}


def _oci(maps: tuple[IdMap, ...]) -> list[dict[str, int]]:
    return [{"containerID": item.container_id, "hostID": item.host_id, "size": item.count} for item in maps]


def applied(maps: IdMaps | None, host_config: HostConfig) -> IdMaps | None:
    """The maps of one container: none with `--userns=host`."""
    return None if host_config.userns_mode == "host" else maps


def maps_of_process(pid: int) -> IdMaps | None:
    """What a running container was started with, whatever the daemon's flag says by now; None for the host's."""
    try:
        if os.path.samestat(os.stat(f"/proc/{pid}/ns/user"), os.stat("/proc/self/ns/user")):
            return None
        return IdMaps(_map_of(f"/proc/{pid}/uid_map"), _map_of(f"/proc/{pid}/gid_map"))
    except OSError:
        return None  # it has gone: who wanted to enter it is told so


def _map_of(path: str) -> tuple[IdMap, ...]:
    with open(path) as file:
        rows = [line.split() for line in file]
    return tuple(IdMap(int(inside), int(outside), int(count)) for inside, outside, count in rows)


def parse_remap(text: str, subuid: str = "/etc/subuid", subgid: str = "/etc/subgid") -> IdMaps | None:
    """The value of the flag; None for an empty one. Raises Invalid saying which user has no ids."""
    if not text:
        return None
    user, colon, group = text.partition(":")
    if not user or ":" in group or (colon and not group):
        raise Invalid(f"invalid user/group specification in --userns-remap: {text[:100]!r}")
    name, uid = (DEFAULT_USER, None) if text == "default" else _user(user)
    group_name, gid = _group(group) if group else (name, None)
    return IdMaps(_ranges(subuid, "subuid", name, uid), _ranges(subgid, "subgid", group_name, gid))


def check_remap(maps: IdMaps | None, host: Host) -> None:
    """Raises Invalid where a daemon with --userns-remap could start no container."""
    if maps is not None and not host.idmapped_overlay:
        raise Invalid(
            "--userns-remap needs overlayfs with idmapped layers (Linux 5.19 or later): snapshots keep the ids of the "
            f"image, and this kernel, {host.kernel_release}, cannot show them mapped"
        )


def _user(text: str) -> tuple[str, int | None]:
    try:
        found = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    except (KeyError, OverflowError):
        what = f"uid {text[:100]} has no entry in /etc/passwd" if text.isdecimal() else f"no user {text[:100]!r}"
        raise Invalid(f"error during user lookup for --userns-remap: {what}") from None
    return found.pw_name, found.pw_uid


def _group(text: str) -> tuple[str, int | None]:
    try:
        found = grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)
    except (KeyError, OverflowError):
        what = f"gid {text[:100]} has no entry in /etc/group" if text.isdecimal() else f"no group {text[:100]!r}"
        raise Invalid(f"error during group lookup for --userns-remap: {what}") from None
    return found.gr_name, found.gr_gid


def _ranges(path: str, kind: str, name: str, number: int | None) -> tuple[IdMap, ...]:
    """All ranges of a name or its number, laid end to end from 0."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_FILE)
    except OSError as error:
        raise Invalid(f"Can't create ID mappings: {path}: {error.strerror}") from None
    maps: list[IdMap] = []
    next_id = 0
    for line in text.splitlines():
        owner, _, rest = line.partition(":")
        first, _, count = rest.partition(":")
        if owner not in (name, str(number)) or not first.strip().isdecimal() or not count.strip().isdecimal():
            continue
        start, size = int(first), int(count)
        if size == 0 or start + size > MAX_ID:
            raise Invalid(f"Can't create ID mappings: {path}: {line[:100]!r} is no range of ids")
        maps.append(IdMap(next_id, start, size))
        next_id += size
    if not maps:
        raise Invalid(f'Can\'t create ID mappings: no {kind} ranges found for user "{name}"')
    return tuple(maps)
