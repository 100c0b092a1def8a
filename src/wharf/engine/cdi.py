"""Devices by name (Container Device Interface 0.x, SPEC.md): files of a vendor say what a container gets with one.

`vendor.com/class=name`. Files are read anew for each start: they are few, and vendors' tools rewrite them.
"""

import json
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wharf.engine.config import EngineConfig
from wharf.engine.oci_resources import Device
from wharf.errors import Internal, NotImplementedYet
from wharf.runtime.oci.hooks import POINTS
from wharf.spec.container import DeviceRequest

MAX_SPEC_BYTES = 1 << 20
MAX_SPECS = 256
MAX_HOOK_SECONDS = 3600
_KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?\Z")
_NOT_CARRIED_OUT = ("intelRdt", "netDevices")
_TYPES = {"c": stat.S_ISCHR, "u": stat.S_ISCHR, "b": stat.S_ISBLK, "p": stat.S_ISFIFO}
_OPTIONAL: dict[str, dict[str, type]] = {
    "deviceNodes": {
        "hostPath": str,
        "type": str,
        "permissions": str,
        **dict.fromkeys(("major", "minor", "fileMode", "uid", "gid"), int),
    },
    "mounts": {"options": list},
}
_FAILED = "CDI device injection failed: "
Spec = dict[str, Any]


@dataclass(slots=True)
class Edits:
    """What a container gets with its devices."""

    env: list[str] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    mounts: list[Spec] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    hooks: dict[str, list[Spec]] = field(default_factory=dict)
    """As `hooks` of an OCI specification: point -> programs of the host in their order."""


@dataclass(slots=True)
class Catalog:
    """Every device that some file describes: name -> `containerEdits` in their order; and what is wrong with files."""

    devices: dict[str, list[Spec]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_catalog(config: EngineConfig) -> Catalog:
    """The files of the directories; of a later one hide what an earlier one says of the same device."""
    found = Catalog()
    for directory in config.cdi_spec_dirs:
        here: dict[str, list[Spec]] = {}
        doubled: set[str] = set()
        for path in _files(directory, found.problems):
            try:
                described = _devices(_parsed(path, config))
            except (OSError, ValueError) as error:
                words = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
                found.problems.append(
                    f"CDI: Error associated with spec file {path}: failed to load CDI Spec {words[:300]}"
                )
                continue
            for name in described.keys() & here.keys():
                doubled.add(name)
                found.problems.append(f"CDI: Error associated with spec file {path}: conflicting device {name}")
            here.update(described)
        found.devices.update({name: edits for name, edits in here.items() if name not in doubled})
        for name in doubled:  # neither file is more right than the other
            found.devices.pop(name, None)
    return found


def _files(directory: str, problems: list[str]) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"CDI: {directory} cannot be read: {os.strerror(error.errno or 0).lower()}")
        return []
    found = [f"{directory}/{name}" for name in names if name.endswith((".json", ".yaml", ".yml"))]
    if len(found) > MAX_SPECS:
        problems.append(f"CDI: {directory} has {len(found)} spec files, of which the first {MAX_SPECS} are read")
    return found[:MAX_SPECS]


def _parsed(path: str, config: EngineConfig) -> Any:
    with open(path, "rb") as file:
        data = file.read(MAX_SPEC_BYTES + 1)
    if len(data) > MAX_SPEC_BYTES:
        raise ValueError(f"more than {MAX_SPEC_BYTES} bytes")
    try:
        return json.loads(data) if path.endswith(".json") else config.parse_yaml(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'failed to parse CDI Spec "{path}": {str(error)[:200]}') from None


def _devices(raw: Any) -> dict[str, list[Spec]]:
    """Raises ValueError for what is no specification."""
    if not isinstance(raw, dict) or not isinstance(raw.get("cdiVersion"), str):
        raise ValueError("invalid CDI Spec: no cdiVersion")
    kind, listed = raw.get("kind"), raw.get("devices")
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise ValueError(f"invalid CDI Spec: invalid kind {str(kind)[:100]!r}")
    if not isinstance(listed, list) or not listed:
        raise ValueError("invalid CDI Spec: no devices")
    common = _checked(raw.get("containerEdits") or {})
    _check_hooks(common)
    found = {}
    for item in listed:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not _NAME.match(name):
            raise ValueError(f"invalid CDI Spec: invalid device name {str(name)[:100]!r}")
        edits = _checked(item.get("containerEdits") or {})
        try:
            _check_hooks(edits)
        except ValueError as error:
            raise ValueError(
                f'invalid CDI Spec: failed add device "{name}": invalid device "{name}": {error}'
            ) from None
        found[f"{kind}={name}"] = [edits, common]
    return found


def _checked(edits: Any) -> Spec:
    shapes = {"env": str, "deviceNodes": dict, "mounts": dict, "hooks": dict, "additionalGids": int}
    if not isinstance(edits, dict):
        raise ValueError("invalid CDI Spec: containerEdits are no object")
    for key, kind in shapes.items():
        items = edits.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
            raise ValueError(f"invalid CDI Spec: invalid {key}")
    for key, wanted in (("deviceNodes", ("path",)), ("mounts", ("hostPath", "containerPath"))):
        for item in edits.get(key) or []:
            if not all(isinstance(item.get(name), str) and item[name].startswith("/") for name in wanted):
                raise ValueError(f"invalid CDI Spec: invalid {key}: {' and '.join(wanted)} must be absolute paths")
            for field_name, wanted_kind in _OPTIONAL[key].items():
                if not isinstance(item.get(field_name), wanted_kind | None):
                    raise ValueError(f"invalid CDI Spec: invalid {key}: invalid {field_name}")
    for item in edits.get("deviceNodes") or []:
        if (item.get("type") or "c") not in _TYPES or set(item.get("permissions") or "") - set("rwm"):
            raise ValueError(f"invalid CDI Spec: invalid deviceNodes: type or permissions of {item['path'][:200]}")
    return edits


def _check_hooks(edits: Spec) -> None:
    for item in edits.get("hooks") or []:
        name, path, timeout = item.get("hookName"), item.get("path"), item.get("timeout")
        if name not in POINTS:
            raise ValueError(f"invalid hook name {json.dumps(str(name)[:100])}")
        if not isinstance(path, str) or not path:
            raise ValueError(f'invalid hook "{name}" with empty path')
        texts = [*(item.get("args") or []), *(item.get("env") or [])]
        is_number = isinstance(timeout, int) and not isinstance(timeout, bool) and 0 < timeout <= MAX_HOOK_SECONDS
        if not all(isinstance(text, str) and "\0" not in text for text in texts) or "\0" in path:
            raise ValueError(f'invalid hook "{name}": invalid args or env')
        if timeout is not None and not is_number:
            raise ValueError(f'invalid hook "{name}": invalid timeout')


def requested_edits(requests: Iterable[DeviceRequest], config: EngineConfig) -> Edits:
    """What the requests of a container come to; raises Internal in Docker's words."""
    names: list[str] = []
    asked = list(requests)
    catalog = read_catalog(config) if asked else Catalog()
    for request in asked:
        names += _named(request) if request.driver == "cdi" else _graphics(request, catalog)
    missing = [name for name in names if name not in catalog.devices]
    if missing:
        raise Internal(f"{_FAILED}unresolvable CDI devices {', '.join(missing)}"[:2000])
    edits = Edits()
    applied: list[Spec] = []
    for name in names:
        for part in catalog.devices[name]:
            if not any(part is other for other in applied):  # what all devices of a file share comes once
                applied.append(part)
                _apply(edits, part, name)
    return edits


def _named(request: DeviceRequest) -> list[str]:
    if request.count:
        raise Internal("unexpected count in CDI device request")
    if request.options:
        raise Internal("unexpected options in CDI device request")
    return list(request.device_ids or ())


def _graphics(request: DeviceRequest, catalog: Catalog) -> list[str]:
    """`--gpus` by the files of a vendor of class `gpu`; raises Internal where there is none, as Docker does."""
    capabilities = [set(words) for words in request.capabilities or ()]
    kinds = sorted({name.partition("=")[0] for name in catalog.devices if name.partition("=")[0].endswith("/gpu")})
    vendor = {"": "", "nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}.get(request.driver, "none")
    kind = next((kind for kind in kinds if kind == vendor or not vendor), None)
    if kind is None or not any("gpu" in words for words in capabilities):
        wanted = " ".join(f"[{' '.join(words)}]" for words in request.capabilities or ())
        raise Internal(f'could not select device driver "{request.driver}" with capabilities: [{wanted}]')
    if request.device_ids:
        return [name if "=" in name else f"{kind}={name}" for name in request.device_ids]
    own = sorted(name for name in catalog.devices if name.startswith(f"{kind}=") and not name.endswith("=all"))
    if request.count < 0:
        return [f"{kind}=all"] if f"{kind}=all" in catalog.devices else own
    if request.count > len(own):
        raise Internal(f"{_FAILED}{request.count} devices of {kind} are asked for, {len(own)} are there")
    return own[: request.count]


def _apply(edits: Edits, part: Spec, name: str) -> None:
    for key in _NOT_CARRIED_OUT:
        if part.get(key):
            raise NotImplementedYet(f"CDI device {name} needs {key}: not there yet")
    edits.env += part.get("env") or []
    edits.devices += [_device(item) for item in part.get("deviceNodes") or ()]
    for item in part.get("hooks") or ():
        kept = {key: item[key] for key in ("path", "args", "env", "timeout") if item.get(key)}
        edits.hooks.setdefault(item["hookName"], []).append(kept)
    edits.groups += [number for number in part.get("additionalGids") or () if number]
    for item in part.get("mounts") or ():
        options = [word for word in item.get("options") or ["rbind"] if isinstance(word, str)]
        if not {"bind", "rbind"} & set(options):
            options = ["rbind", *options]
        edits.mounts.append(
            {"destination": item["containerPath"], "type": "bind", "source": item["hostPath"], "options": options}
        )


def _device(item: Spec) -> Device:
    """Numbers that a file does not give are those of the node on the host."""
    source = item.get("hostPath") or item["path"]
    kind, major, minor = item.get("type") or "", item.get("major") or 0, item.get("minor") or 0
    mode = 0o666
    if not kind or (not major and kind != "p"):
        try:
            node = os.stat(source)
        except OSError as error:
            words = os.strerror(error.errno or 0).lower()
            raise Internal(
                f'{_FAILED}failed to inject devices: failed to stat CDI host device "{source}": {words}'
            ) from None
        is_kind = next((letter for letter, test in _TYPES.items() if test(node.st_mode)), None)
        if is_kind is None:
            raise Internal(f'{_FAILED}failed to inject devices: "{source}" is not a device node')
        kind, major, minor = kind or is_kind, os.major(node.st_rdev), os.minor(node.st_rdev)
        mode = stat.S_IMODE(node.st_mode)
    numbers = [item.get(key) for key in ("fileMode", "uid", "gid")]
    mode, uid, gid = (
        default if number is None else number for number, default in zip(numbers, (mode, 0, 0), strict=True)
    )
    return Device(item["path"], kind, major, minor, mode & 0o7777, uid, gid, item.get("permissions") or "rwm")


def carry_out(spec: Spec, edits: Edits) -> Spec:
    """The specification of a container's process with the edits; devices are in it already."""
    process = spec["process"]
    own = {entry.partition("=")[0] for entry in edits.env}
    process["env"] = [entry for entry in process["env"] if entry.partition("=")[0] not in own] + edits.env
    spec["mounts"] += sorted(edits.mounts, key=lambda item: str(item["destination"]).count("/"))
    if edits.hooks:
        spec["hooks"] = edits.hooks
    return spec
