"""config.json, read and checked before anything is made: what makes no sense is refused by name."""

import json
import os
import re
from typing import Any

from wharf.kernel.caps import NUMBERS
from wharf.kernel.mount_words import PROPAGATION
from wharf.kernel.mounts import MS_BIND
from wharf.kernel.namespaces import FLAG_OF_TYPE
from wharf.kernel.seccomp_compiler import ARCHITECTURES, WITH_VALUE
from wharf.runtime.mount_options import COPY_UP, Options
from wharf.runtime.oci import limits
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.hooks import POINTS
from wharf.spec.host import Host

MAX_CONFIG = 16 << 20
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?")
_NEEDS = {"uts": ("hostname", "domainname")}


def read_config(bundle: str) -> dict[str, Any]:
    """The bundle's config.json as an object with `linux`; raises CommandFailed."""
    path = f"{bundle}/config.json"
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG + 1)
    except FileNotFoundError:
        raise CommandFailed("JSON specification file config.json not found") from None
    if len(data) > MAX_CONFIG:
        raise CommandFailed(f"{path} is larger than {MAX_CONFIG} bytes")
    try:
        config = json.loads(data)
    except ValueError as error:
        raise CommandFailed(f"{path}: {error}") from None
    if not isinstance(config, dict):
        raise CommandFailed(f"{path} is no object")
    config["linux"] = config.get("linux") or {}
    config["mounts"] = config.get("mounts") or []
    return config


def check(config: dict[str, Any], host: Host) -> None:
    """Raise CommandFailed for a configuration that cannot be carried out as it is written."""
    try:
        _check_version(config)
        check_process(config.get("process"), host)
        _check_root(config)
        _check_mounts(config["mounts"])
        _check_linux(config, host)
        _check_hooks(config.get("hooks") or {})
    except (AttributeError, TypeError, KeyError) as error:
        raise CommandFailed(f"config.json: a property has the wrong type: {error}") from None


def _check_version(config: dict[str, Any]) -> None:
    found = _VERSION.fullmatch(str(config.get("ociVersion") or ""))
    if not found:
        raise CommandFailed(f'config.json: ociVersion "{config.get("ociVersion", "")}" is no semantic version')
    if found[1] != "1":
        raise CommandFailed(f"config.json: ociVersion {config['ociVersion']} is not supported: 1.x is")


def check_process(process: dict[str, Any] | None, host: Host) -> None:
    """The process object, of config.json or of an exec."""
    if not process:
        raise CommandFailed("process property must not be empty")
    if not process.get("cwd"):
        raise CommandFailed("Cwd property must not be empty")
    if not os.path.isabs(process["cwd"]):
        raise CommandFailed("Cwd must be an absolute path")
    if not process.get("args"):
        raise CommandFailed("args must not be empty")
    kinds = [item["type"] for item in process.get("rlimits") or ()]
    if len(kinds) != len(set(kinds)):
        raise CommandFailed("rlimits must not have two entries of one type")
    profile = process.get("apparmorProfile")
    if profile and profile != "unconfined" and not host.apparmor:
        raise CommandFailed("apparmor: config provided but apparmor not supported")
    if process.get("selinuxLabel") and not host.selinux:
        raise CommandFailed("selinux label is specified in config, but selinux is disabled or not supported")


def not_grantable(process: dict[str, Any], host: Host) -> list[str]:
    """The capabilities asked for that nobody knows or this host has not: they are left out, with a warning
    (config.md#linux-process)."""
    held = {name for name, number in NUMBERS.items() if number in host.capabilities}
    return sorted({name for names in (process.get("capabilities") or {}).values() for name in names or ()} - held)


def _check_root(config: dict[str, Any]) -> None:
    if not (config.get("root") or {}).get("path"):
        raise CommandFailed("root.path must not be empty")


def _check_mounts(mounts: list[dict[str, Any]]) -> None:
    for item in mounts:
        if not item.get("destination"):
            raise CommandFailed("a mount has no destination")
        if item.get("type") in (None, "", "bind", "none") and not item.get("source"):
            raise CommandFailed(f"mount {item['destination']} has no source")
        _check_mount_words(item, Options(list(item.get("options") or ())))


def _check_mount_words(item: dict[str, Any], options: Options) -> None:
    target, maps = item["destination"], [bool(item.get(name)) for name in ("uidMappings", "gidMappings")]
    is_bind = bool(options.flags & MS_BIND) or item.get("type") in (None, "", "bind")
    if is_bind and options.data:
        # The kernel passes over them: a word that is meant to protect would not.
        raise CommandFailed(
            f"mount {target}: bind mounts cannot have any filesystem-specific options applied: {options.data}"
        )
    if any(maps) and not all(maps):
        raise CommandFailed(f"mount {target}: uidMappings and gidMappings must be given together")
    if (options.id_map or any(maps)) and not is_bind:
        raise CommandFailed(f"mount {target}: id-mapped mounts are only supported for bind mounts")
    if options.copy_up and item.get("type") != "tmpfs":
        raise CommandFailed(f"mount {target}: {COPY_UP} is for tmpfs only")


def _check_linux(config: dict[str, Any], host: Host) -> None:
    linux = config["linux"]
    kinds = _check_namespaces(linux.get("namespaces") or [])
    if "mount" not in kinds:
        raise CommandFailed("a container without a mount namespace of its own would mount over the host: add one")
    for kind, names in _NEEDS.items():
        for name in names:
            if config.get(name) and kind not in kinds:
                raise CommandFailed(f"unable to set {name} without a private UTS namespace")
    maps = [name for name in ("uidMappings", "gidMappings") if linux.get(name)]
    if maps and "user" not in kinds:
        raise CommandFailed("user namespace mappings specified, but user namespace isn't enabled in the config")
    if kinds.get("user") == "" and len(maps) != 2:
        raise CommandFailed("a new user namespace needs uidMappings and gidMappings")
    propagation = linux.get("rootfsPropagation")
    if propagation and propagation not in PROPAGATION:
        raise CommandFailed(f"rootfsPropagation={propagation} is not supported")
    if linux.get("intelRdt"):
        raise CommandFailed("intelRdt is not supported")
    if linux.get("timeOffsets") and "time" not in kinds:
        raise CommandFailed("timeOffsets specified, but no time namespace is enabled in the config")
    if linux.get("mountLabel") and not host.selinux:
        raise CommandFailed("mountLabel is specified in config, but selinux is disabled or not supported")
    limits.check(linux.get("resources") or {}, host)
    _check_seccomp(linux.get("seccomp") or {}, host)


def _check_namespaces(items: list[dict[str, Any]]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for item in items:
        kind, path = item["type"], item.get("path") or ""
        if kind not in FLAG_OF_TYPE and kind != "time":
            raise CommandFailed(f'namespace "{kind}" does not exist')
        if kind in kinds:
            raise CommandFailed(f"malformed spec file: duplicated ns {kind!r}")
        if path and not os.path.isabs(path):
            raise CommandFailed(f"the path of namespace {kind} is not absolute: {path}")
        kinds[kind] = path
    return kinds


def _check_seccomp(profile: dict[str, Any], host: Host) -> None:
    if profile and not host.seccomp:
        raise CommandFailed("seccomp: config provided but seccomp not supported")
    rules = profile.get("syscalls") or ()
    if profile.get("listenerPath") or any(rule.get("action") == "SCMP_ACT_NOTIFY" for rule in rules):
        raise CommandFailed("seccomp: SCMP_ACT_NOTIFY and listenerPath are not supported")
    for name in profile.get("architectures") or ():
        if name not in ARCHITECTURES:
            raise CommandFailed(f"seccomp: string {name} is not a valid arch for seccomp")
    _check_errno(profile.get("defaultAction"), profile.get("defaultErrnoRet"), "defaultErrnoRet")
    for rule in rules:
        if not rule.get("names"):
            raise CommandFailed("seccomp: a rule of syscalls must have names")
        _check_errno(rule.get("action"), rule.get("errnoRet"), "errnoRet")


def _check_errno(action: str | None, value: int | None, key: str) -> None:
    if value is not None and action not in WITH_VALUE:
        raise CommandFailed(f"seccomp: {key} {value} is given with the action {action}, which returns none")


def _check_hooks(hooks: dict[str, Any]) -> None:
    for point in POINTS:
        for hook in hooks.get(point) or ():
            if not os.path.isabs(hook.get("path") or ""):
                raise CommandFailed(f"the path of a {point} hook is not absolute: {hook.get('path')!r}")
            timeout = hook.get("timeout")
            if timeout is not None and timeout <= 0:
                raise CommandFailed(f"the timeout of a {point} hook must be greater than zero")
