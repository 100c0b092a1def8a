"""`RUN --mount=…`: its text checked when the file is read, its values parsed when variables are known."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace

from wharf.dockerfile.suggest import hint
from wharf.errors import Invalid
from wharf.spec.quote import go_quote

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
_PLAIN_KEYS = ("type", "from", "source", "src", "target", "dst", "destination", "id", "sharing", "size", "env")
_KEYS = (*_PLAIN_KEYS, "mode", "uid", "gid", "readonly", "ro", "readwrite", "rw", "required")
_BOOLS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_WITH_OWNER = ("secret", "ssh", "cache")
MAX_FIELDS = 64


@dataclass(frozen=True, slots=True)
class RunMount:
    """One mount of a step; `size` in bytes, 0 for no limit; None where mode, uid, gid or env were not given."""

    type: str = "bind"
    origin: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def check_mount_text(text: str) -> None:
    """What can be said before variables are known; raises Invalid."""
    for field in _fields(text):
        key, equals, value = field.partition("=")
        if equals and key.lower() == "from" and "$" in value[:-1]:
            raise Invalid("'from' doesn't support variable expansion, define alias stage instead")


def mount_origin(text: str) -> str:
    """What `from=` names; empty where it names nothing."""
    fields = [field.partition("=") for field in _fields(text)]
    return next((value for key, _, value in reversed(fields) if key.lower() == "from"), "")


def parse_mount(text: str, expand: Callable[[str], str]) -> RunMount:
    """The mount, its values expanded; raises Invalid with BuildKit's words."""
    mount = RunMount()
    chosen: bool | None = None
    for field in _fields(text):
        key, equals, raw = field.partition("=")
        key = key.lower()
        value = expand(raw) if equals else "true"
        if not equals and key not in ("readonly", "ro", "readwrite", "rw", "required"):
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        if key in ("readonly", "ro"):
            chosen = _bool(key, value)
        elif key in ("readwrite", "rw"):
            chosen = not _bool(key, value)
        else:
            mount = _with(mount, key, value, field)
    read_only = chosen if chosen is not None else mount.type not in ("cache", "tmpfs")
    return _checked(replace(mount, read_only=read_only))


def _fields(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise Invalid(f"failed to parse csv mounts: {error}") from None
    fields = rows[0] if rows else []
    if len(fields) > MAX_FIELDS:
        raise Invalid(f"a mount has more than {MAX_FIELDS} fields")
    return fields


def _with(mount: RunMount, key: str, value: str, field: str) -> RunMount:
    """The mount with one more key."""
    if key in ("src", "source"):
        return replace(mount, source=value)
    if key in ("dst", "target", "destination"):
        return replace(mount, target=value)
    if key == "type":
        return replace(mount, type=_choice("unsupported mount type", value, TYPES))
    if key == "sharing":
        return replace(mount, sharing=_choice("unsupported sharing value", value, SHARING))
    if key in ("from", "id", "env"):
        return replace(mount, **{"origin" if key == "from" else key: value})  # type: ignore[arg-type]
    if key in ("mode", "uid", "gid"):
        return replace(mount, **{key: _number(key, value)})  # type: ignore[arg-type]
    if key == "required":
        if mount.type not in ("secret", "ssh"):
            raise Invalid(f"unexpected key '{key}' for mount type '{mount.type}'")
        return replace(mount, required=_bool(key, value))
    if key == "size":
        if mount.type != "tmpfs":
            raise Invalid(f"unexpected key '{key}' for mount type '{mount.type}'")
        return replace(mount, size=_size(value))
    raise Invalid(f"unexpected key '{key}' in '{field}'{hint(key, _KEYS)}")


def _choice(complaint: str, value: str, known: tuple[str, ...]) -> str:
    if value.lower() not in known:
        raise Invalid(f"{complaint} {go_quote(value)}{hint(value, known)}")
    return value.lower()


def _bool(key: str, value: str) -> bool:
    found = _BOOLS.get(value.lower())
    if found is None:
        raise Invalid(f"invalid value for {key}: {value}")
    return found


def _number(key: str, value: str) -> int:
    try:
        number = int(value, 8 if key == "mode" else 10)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32 or not value.isalnum():
        raise Invalid(f"invalid value {value} for {key}")
    return number


def _size(value: str) -> int:
    text = value.strip().lower().removesuffix("b").removesuffix("i")
    unit = text[-1:] if text[-1:].isalpha() else ""
    try:
        return int(float(text.removesuffix(unit)) * _SIZES[unit])
    except (ValueError, KeyError, OverflowError):
        raise Invalid(f"invalid value for size: {value}") from None


def _checked(mount: RunMount) -> RunMount:
    """What keys may not stand together; raises Invalid."""
    if mount.type not in _WITH_OWNER:
        for key in ("mode", "uid", "gid"):
            if getattr(mount, key) is not None:
                raise Invalid(f"{key} not allowed for {go_quote(mount.type)} type mounts")
    if mount.type == "secret":
        if mount.origin:
            raise Invalid("secret mount should not have a from")
        if mount.sharing:
            raise Invalid("secret mount should not define sharing")
        if not (mount.source or mount.target or mount.id):
            raise Invalid("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise Invalid("both source and id can't be set")
    if mount.type in ("ssh", "tmpfs") and mount.origin:
        raise Invalid(f"{mount.type} mount should not have a from")
    if mount.sharing and mount.type != "cache":
        raise Invalid(f"invalid cache sharing set for {mount.type} mount")
    return mount
