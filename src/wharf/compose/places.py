"""Relative paths in a model made absolute (pure but for `~` and the symbolic links of watched paths)."""

from __future__ import annotations

import os
from collections.abc import Callable

from wharf.compose import tree
from wharf.compose.interpolate import PathError
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    _Resolver = Callable[[Any, tree.Path, str], Any]

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def refuse_remote(path: str) -> str:
    """The path of a Compose file; raises Invalid for a repository or a registry, where docker compose can find some."""
    if path.startswith(("oci://", *_REMOTE)):
        raise Invalid(f"remote Compose files are not there yet: {path}")
    return path


def compose_file(path: str, base: str) -> str:
    """A Compose file that another one in the directory `base` names. Raises as `refuse_remote`."""
    return path if os.path.isabs(path) else join(base, refuse_remote(path))


def join(base: str, path: str) -> str:
    """filepath.Join: cleaned, `path` below `base`."""
    joined = os.path.normpath(f"{base}/{path}" if base else path)
    return joined[1:] if joined.startswith("//") else joined


def expand_home(path: str) -> str:
    """`~/x` below the home directory."""
    return join(os.path.expanduser("~"), path[1:]) if path.startswith("~") else path


def resolve_paths(model: tree.Tree, base: str) -> None:
    """Rewrites every path of the model that is relative to `base` (in place); raises Invalid."""
    tree.rewrite(model, _RULES, lambda rule, part, path: rule(part, path, base))


def _path(value: Any, path: tree.Path, base: str) -> Any:
    if isinstance(value, list):
        return [_path(item, path, base) for item in value]
    if not isinstance(value, str):
        raise PathError(f"unexpected type {type(value).__name__}", path)
    expanded = expand_home(value)
    return expanded if expanded.startswith("/") or not expanded else join(base, expanded)


def _maybe(value: Any, path: tree.Path, base: str) -> Any:
    if not isinstance(value, str):
        return value
    expanded = expand_home(value)
    return expanded if expanded.startswith("/") or is_windows(expanded) else join(base, expanded)


def is_windows(path: str) -> bool:
    """`C:\\…`, `C:/…` or `\\\\server\\share`."""
    return (path[1:2] == ":" and path[:1].isalpha() and path[2:3] in ("\\", "/")) or path.startswith("\\\\")


def _context(value: Any, path: tree.Path, base: str) -> Any:
    if not isinstance(value, str) or "://" in value or value.startswith(("service:", *_REMOTE)):
        return value
    return _path(value, path, base)


def _watched(value: Any, path: tree.Path, base: str) -> Any:
    absolute = _path(value, path, base)
    return resolve_link(absolute) if isinstance(absolute, str) else absolute


def resolve_link(path: str) -> str:
    """The path with the first symbolic link on its way followed, as the watcher will see it."""
    return os.path.realpath(path) if os.path.lexists(path) else path


def _mount(value: Any, path: tree.Path, base: str) -> Any:
    if not isinstance(value, dict) or value.get("type") != "bind":
        return value
    if "source" not in value:
        raise PathError('invalid mount config for type "bind": field Source must not be empty', path)
    value["source"] = _maybe(value["source"], path, base)
    return value


def _driver_opts(value: Any, path: tree.Path, base: str) -> Any:
    options = value.get("driver_opts") if isinstance(value, dict) else None
    local = isinstance(options, dict) and value.get("driver") == "local"
    if local and options and options.get("o") == "bind" and "device" in options:  # a bind mount under another name
        options["device"] = _maybe(options["device"], path, base)
    return value


_TABLE: dict[str, _Resolver] = {
    "services.*.build.context": _context, "services.*.build.additional_contexts.*": _context,
    "services.*.build.ssh.*": _maybe, "services.*.env_file.[].path": _path, "services.*.label_file.[]": _path,
    "services.*.extends.file": _path, "services.*.develop.watch.[].path": _watched,
    "services.*.volumes.[]": _mount, "configs.*.file": _maybe, "secrets.*.file": _maybe, "include.path": _path,
    "include.project_directory": _path, "include.env_file": _path, "volumes.*": _driver_opts,
}  # fmt: skip
_RULES = tree.rules(_TABLE)
