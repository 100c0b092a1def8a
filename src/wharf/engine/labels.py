"""SELinux labels of a container: from `--security-opt label=…` and what it shares with others, as Docker computes them
(moby's generateSecurityOpt, go-selinux's InitLabels; the words were read there, not recorded)."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.security import label_options
from wharf.errors import Internal
from wharf.kernel.lsm import selinux
from wharf.kernel.lsm.selinux import Label
from wharf.spec.container import ContainerRecord, HostConfig
from wharf.spec.mount import Mount, Overlay

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

DISABLE = "disable"
_PARTS = ("user", "role", "type", "level", "filetype")
_SHARES = ("z", "Z")


def init_labels(options: Sequence[str], policy: tuple[str, str], taken: Sequence[str] = ()) -> tuple[str, str]:
    """Process and mount label from the values of `label=`; `policy` is the host's pair, `taken` are process labels in
    use. Raises Internal in Docker's words."""
    process, files = policy
    if not process or not files:
        return "", files
    level = selinux.unique_level({Label.parse(text).level for text in taken if text})
    process_label = Label.parse(process)
    if process_label.level:
        process_label, files = replace(process_label, level=level), selinux.at_level(files, level)
    mount_label = Label.parse(files)
    for option in options:
        if option == DISABLE:
            return "", selinux.at_level(files, selinux.PRIVILEGED_LEVEL)
        key, colon, value = option.partition(":")
        if not colon:
            raise Internal(
                f"bad label option \"{option[:100]}\", valid options 'disable' or \n"
                "'user, role, level, type, filetype' followed by ':' and a value"
            )
        if key not in _PARTS:
            raise Internal(
                f"bad label option \"{key[:100]}\", valid options 'disable, user, role, level, type, filetype'"
            )
        if key == "filetype":
            mount_label = replace(mount_label, type=value)
            continue
        process_label = replace(process_label, **{key: value})
        if key in ("level", "user"):
            mount_label = replace(mount_label, **{key: value})
    return str(process_label), str(mount_label)


def inherited(engine: Engine, host_config: HostConfig) -> list[str]:
    """`label=…` options for who shares processes or IPC with another container and names no label itself: the other's
    label. Raises Internal when two others differ."""
    if engine.selinux is None or label_options(host_config):
        return []
    found: list[list[str]] = []
    for mode in (host_config.pid_mode, host_config.ipc_mode):
        if mode.startswith("container:"):
            found.append(_as_options(engine.containers.live(mode.partition(":")[2]).record.process_label))
    if len(found) == 2 and all(found) and found[0] != found[1]:
        raise Internal("--ipc and --pid containers SELinux labels aren't the same")
    return next((options for options in found if options), [])


def _as_options(label: str) -> list[str]:
    if not label:
        return []
    parsed = Label.parse(label)
    pairs = (("user", parsed.user), ("role", parsed.role), ("type", parsed.type), ("level", parsed.level))
    return [f"label={key}:{value}" for key, value in pairs if value]


def put_labels(engine: Engine, record: ContainerRecord) -> None:
    """Choose the labels of a new container; nothing without SELinux. Raises Internal."""
    if engine.selinux is None:
        return
    host = record.host_config
    if more := inherited(engine, host):
        host.security_opt = [*(host.security_opt or []), *more]
    taken = [other.record.process_label for other in engine.containers]
    record.process_label, record.mount_label = init_labels(label_options(host), engine.selinux, taken)


def relabel_sources(record: ContainerRecord, files: Sequence[str]) -> None:
    """At each start: `files` of the engine, and sources mounted with `z` (for several containers; every volume) or `Z`
    (for this one alone). Raises Internal."""
    if not record.mount_label:
        return
    wanted = [(path, bool(record.joined_network)) for path in files]
    for point in record.mounts:
        word = next((word for word in point.mode.split(",") if word in _SHARES), "")
        if word and point.source:
            wanted.append((point.source, word == "z"))
    for path, shared in wanted:
        try:
            selinux.relabel(path, record.mount_label, shared)
        except OSError as error:
            why = error.strerror if error.errno == errno.EACCES and not error.filename else str(error)
            raise Internal(f"error setting label on mount source '{path}': {why}") from None


def labelled_root(mount: Mount, label: str) -> Mount:
    """The root with one label for all of its files."""
    if not label or mount.overlay is None:
        return mount
    return replace(mount, overlay=labelled(mount.overlay, label))


def labelled(overlay: Overlay, label: str) -> Overlay:
    """An overlay with one label for all of its files; as it is without SELinux."""
    return replace(overlay, options=(*overlay.options, *selinux.mount_option(label))) if label else overlay
