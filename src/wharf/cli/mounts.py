"""`--mount` and `-v` as docker reads them."""

from __future__ import annotations

from wharf.cli import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SOURCE, _TARGET = ("source", "src"), ("target", "destination", "dst")
_BARE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src")


def parse_mount(text: str) -> dict[str, Any]:
    """One `--mount` value as an entry of HostConfig.Mounts; raises ValueError with docker's words."""
    mount: dict[str, Any] = {"Type": "volume"}
    options: dict[str, dict[str, Any]] = {
        "BindOptions": {},
        "VolumeOptions": {},
        "TmpfsOptions": {},
        "ImageOptions": {},
    }
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key not in _BARE:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        _set(mount, options, key, value, field)
    if not mount.get("Target"):
        raise ValueError("target is required")
    kind = mount["Type"]
    if options["VolumeOptions"] and kind != "volume":
        raise ValueError(f"cannot mix 'volume-*' options with mount type '{kind}'")
    if options["BindOptions"] and kind != "bind":
        raise ValueError(f"cannot mix 'bind-*' options with mount type '{kind}'")
    if options["TmpfsOptions"] and kind != "tmpfs":
        raise ValueError(f"cannot mix 'tmpfs-*' options with mount type '{kind}'")
    mount.update({name: value for name, value in options.items() if value})
    return mount


def _fields(text: str) -> list[str]:
    """The comma-separated fields of a CSV line; a field in double quotes may hold commas."""
    fields, field, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += character
    return [*fields, field]


def _flag(key: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise ValueError(f"invalid value for {key}: {value}")


def _set(mount: dict[str, Any], options: dict[str, dict[str, Any]], key: str, value: str, field: str) -> None:
    bind, volume, tmpfs = options["BindOptions"], options["VolumeOptions"], options["TmpfsOptions"]
    if key == "type":
        mount["Type"] = value.lower()
    elif key in _SOURCE:
        mount["Source"] = _absolute(value) if value.startswith(".") else value
    elif key in _TARGET:
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        if _flag(key, value):
            mount["ReadOnly"] = True
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    elif key == "bind-propagation":
        bind["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        bind["NonRecursive"] = _flag(key, value)
    elif key == "bind-create-src":
        bind["CreateMountpoint"] = _flag(key, value)
    elif key == "bind-recursive":
        _recursive(bind, value)
    elif key == "volume-nocopy":
        volume["NoCopy"] = _flag(key, value)
    elif key == "volume-subpath":
        volume["Subpath"] = value
    elif key == "image-subpath":
        options["ImageOptions"]["Subpath"] = value
    elif key == "volume-label":
        name, _, content = value.partition("=")
        volume.setdefault("Labels", {})[name] = content
    elif key == "volume-driver":
        volume.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        name, _, content = value.partition("=")
        volume.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = content
    elif key == "tmpfs-size":
        tmpfs["SizeBytes"] = units.parse_ram(value)
    elif key == "tmpfs-mode":
        tmpfs["Mode"] = int(value, 8)
    else:
        raise ValueError(f"unknown option '{key}' in '{field}'" if "=" in field else f"unknown option '{field}'")


def _recursive(bind: dict[str, Any], value: str) -> None:
    if value == "disabled":
        bind["NonRecursive"] = True
    elif value == "writable":
        bind["ReadOnlyNonRecursive"] = True
    elif value == "readonly":
        bind["ReadOnlyForceRecursive"] = True
    elif value != "enabled":
        raise ValueError(
            f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
        )


def _absolute(path: str) -> str:
    import os

    return os.path.abspath(path)


def split_volumes(given: list[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """`-v` values as (Binds, Volumes): one without a colon is an anonymous volume; `./x` is made absolute."""
    binds: list[str] = []
    volumes: dict[str, dict[str, Any]] = {}
    for text in given:
        source, colon, rest = text.partition(":")
        if not colon:
            volumes[text] = {}
        elif source.startswith("."):
            binds.append(f"{_absolute(source)}:{rest}")
        else:
            binds.append(text)
    return binds, volumes
