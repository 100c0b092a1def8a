"""`--mount` and `-v` as docker reads them."""

from __future__ import annotations

from wharf.cli import units
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SOURCE, _TARGET = ("source", "src"), ("target", "destination", "dst")
_BARE = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src")


def parse_mount(text: str) -> dict[str, Any]:
    """One `--mount` value as an entry of HostConfig.Mounts; raises ValueError with docker's words."""
    mount: dict[str, Any] = {"Type": "volume"}
    options: dict[str, dict[str, Any]] = {
        "BindOptions": {},
        "VolumeOptions": {},
        "ImageOptions": {},
        "TmpfsOptions": {},
    }
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key not in _BARE:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        _set(mount, options, key, value, field)
    _check(mount, options)
    mount.update({name: value for name, value in options.items() if value})
    return mount


def _check(mount: dict[str, Any], options: dict[str, dict[str, Any]]) -> None:
    """What the fields make together, in the order in which docker asks."""
    kind = mount["Type"]
    if not kind:
        raise ValueError("type is required")
    if not mount.get("Target"):
        raise ValueError("target is required")
    for of in ("volume", "bind", "tmpfs", "image"):
        if options[f"{of.capitalize()}Options"] and kind != of:
            raise ValueError(f"cannot mix '{of}-*' options with mount type '{kind}'")
    bind = options["BindOptions"]
    for option, word in (("ReadOnlyNonRecursive", "writable"), ("ReadOnlyForceRecursive", "readonly")):
        if bind.get(option) and not mount.get("ReadOnly"):
            raise ValueError(f"option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyForceRecursive") and bind.get("Propagation") != "rprivate":
        raise ValueError(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
        )


def _fields(text: str) -> list[str]:
    """The fields of one CSV line; one that begins with a double quote goes to the next, and may hold commas."""
    if not text:
        raise ValueError("EOF")
    fields, at = [], 0
    while True:
        if text[at : at + 1] == '"':
            field, at = _quoted(text, at + 1)
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            field = text[at:end]
            if '"' in field:
                column = at + field.index('"') + 1
                raise ValueError(f'parse error on line 1, column {column}: bare " in non-quoted-field')
            at = end
        fields.append(field)
        if at == len(text):
            return fields
        at += 1


def _quoted(text: str, at: int) -> tuple[str, int]:
    """The rest of a quoted field and where it ends; two quotes stand for one."""
    field = ""
    while (end := text.find('"', at)) >= 0:
        field += text[at:end]
        if text[end + 1 : end + 2] in ("", ","):
            return field, end + 1
        if text[end + 1] != '"':
            raise ValueError(f'parse error on line 1, column {end + 1}: extraneous or missing " in quoted-field')
        field, at = field + '"', end + 2
    raise ValueError(f'parse error on line 1, column {len(text) + 1}: extraneous or missing " in quoted-field')


def _flag(key: str, value: str) -> bool:
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise ValueError(f"invalid value for {key}: {value}")


def _number(key: str, value: str, parse: Callable[[str], int]) -> int:
    try:
        number = parse(value)
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError(f"invalid value for {key}: {value}")
    return number


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
        tmpfs["SizeBytes"] = _number(key, value, units.parse_ram)
    elif key == "tmpfs-mode":
        tmpfs["Mode"] = _number(key, value, lambda text: int(text, 8))
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


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
    """`-v` values as (Binds, Volumes): one without a source is an anonymous volume; `./x` is made absolute.

    Raises Invalid with docker's words.
    """
    binds: list[str] = []
    volumes: dict[str, dict[str, Any]] = {}
    for text in given:
        if len(_sections(text)) < 2:
            volumes[text] = {}
            continue
        source, _, rest = text.partition(":")
        binds.append(f"{_absolute(source)}:{rest}" if source.startswith(".") else text)
    return binds, volumes


def _sections(text: str) -> list[str]:
    """What lies between the colons; a letter alone belongs to what follows, as a drive of Windows does."""
    if not text:
        raise Invalid("invalid empty volume spec")
    if len(text) <= 2:
        return [text]
    sections: list[str] = []
    section = ""
    for part in text.split(":"):
        section = f"{section}:{part}" if section else part
        if len(section) == 1 and section.isalpha() and len(sections) < 2 and not text.endswith(section):
            continue
        if not section:
            raise Invalid(f"invalid spec: {text}: empty section between colons")
        sections.append(section)
        section = ""
    if len(sections) > 3:
        raise Invalid(f"invalid spec: {text}: too many colons")
    return sections
