"""Short forms -> long forms, and the values that are there when nobody gives them (pure, in place)."""

from __future__ import annotations

from collections.abc import Callable

from wharf.compose import tree
from wharf.compose.interpolate import PathError
from wharf.compose.scalars import go_print
from wharf.compose.shortforms import parse_device, parse_ports, parse_volume
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Transform = Callable[["_Canonical", Any, tree.Path], Any]


def canonical(value: tree.Tree, lenient: bool, warn: Callable[[str], None]) -> tree.Tree:
    """The long form of a whole model; `lenient` leaves what cannot be parsed as it is (text with variables left in)."""
    worker = _Canonical(lenient, warn)
    result = tree.rewrite(value, _TRANSFORMS, lambda rule, part, path: rule(worker, part, path))
    assert isinstance(result, dict)
    for service in (result.get("services") or {}).values():
        if isinstance(service, dict) and isinstance(service.get("dns"), list):
            service["dns"] = [item for item in service["dns"] if item not in (None, "")]
    return result


class _Canonical:
    def __init__(self, lenient: bool, warn: Callable[[str], None]) -> None:
        self.lenient = lenient
        self.warn = warn

    def below(self, value: Any, path: tree.Path) -> Any:
        """The transforms of what lies inside a value that has one itself."""
        places = [_TRANSFORMS]
        for part in path:
            places = tree.step(places, part)
        if isinstance(value, dict):
            for key, item in value.items():
                value[key] = self._inner(item, tree.step(places, key), (*path, key))
        return value

    def _inner(self, value: Any, places: list[tree.Rules], path: tree.Path) -> Any:
        rule = tree.rule_of(places)
        if rule is not None:
            return rule(self, value, path)
        if not places:
            return value
        if isinstance(value, dict):
            for key, item in value.items():
                value[key] = self._inner(item, tree.step(places, key), (*path, key))
        elif isinstance(value, list):
            below = tree.step(places, "[]")
            for index, item in enumerate(value):
                value[index] = self._inner(item, below, (*path, "[]"))
        return value


def _parsed(self: _Canonical, text: str, path: tree.Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except Invalid as error:
        if self.lenient:
            return text
        raise PathError(error.message, path) from None


def _refuse(value: Any, path: tree.Path, what: str) -> Any:
    kind = {
        bool: "bool",
        int: "int",
        float: "float64",
        str: "string",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }
    raise PathError(f"{tree.dotted(path)}: invalid type {kind.get(type(value), '<nil>')} for {what}", path)


def _service(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return self.below(value, path)


def _build(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if isinstance(value, str):
        return {"context": value}
    return self.below(value, path) if isinstance(value, dict) else _refuse(value, path, "build")


def _text(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return value if isinstance(value, str) else go_print(value)


def _list(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return [value] if isinstance(value, str) else value


def _key_values(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if not isinstance(value, list):
        return value
    mapping = {}
    for item in value:
        key, equals, rest = str(item).partition("=")
        if not equals:
            if self.lenient:
                return value
            raise PathError(f"{tree.dotted(path)}: invalid value {item}, expected key=value", path)
        mapping[key] = rest
    return mapping


def _depends_on(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if isinstance(value, list):
        return {item: {"condition": "service_started", "required": True} for item in value}
    if not isinstance(value, dict):
        return _refuse(value, path, "depend_on")
    for name, item in value.items():
        if not isinstance(item, dict):
            raise PathError(f"{tree.dotted(path)}.{name}: unsupported value {go_print(value)}", (*path, name))
        item.setdefault("condition", "service_started")
        item.setdefault("required", True)
    return value


def _env_file(self: _Canonical, value: Any, path: tree.Path) -> Any:
    def long(item: Any) -> Any:
        if isinstance(item, str):
            return {"path": item, "required": True}
        if isinstance(item, dict):
            item.setdefault("required", True)
            return item
        return None

    if isinstance(value, str):
        return [long(value)]
    return [long(item) for item in value] if isinstance(value, list) else _refuse(value, path, "env_file")


def _extends(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return {"service": value} if isinstance(value, str) else value


def _gpus(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return [{"count": "all"}] if isinstance(value, str) else value


def _names(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _volume(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if not isinstance(value, str):
        return value
    volume = _parsed(self, value, path, parse_volume)
    if isinstance(volume, dict):
        volume["target"] = clean_path(volume["target"]) if volume.get("target") else ""
    return volume


def clean_path(path: str) -> str:
    """path.Clean of Go."""
    import posixpath

    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _device(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return _parsed(self, value, path, parse_device) if isinstance(value, str) else value


def _file_mount(self: _Canonical, value: Any, path: tree.Path) -> Any:
    return {"source": value} if isinstance(value, str) else value


def _ports(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if not isinstance(value, list):
        return _refuse(value, path, "port")
    ports: list[Any] = []
    for item in value:
        if isinstance(item, dict):
            ports.append(item)
            continue
        if not isinstance(item, int | str) or isinstance(item, bool):
            return _refuse(item, path, "port")
        parsed = _parsed(self, str(item), path, parse_ports)
        if not isinstance(parsed, list):
            return value
        ports += parsed
    return ports


def _ssh(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if not isinstance(value, list):
        return value
    keys: dict[str, Any] = {}
    for item in value:
        name, equals, place = str(item).partition("=")
        if not equals and name != "default":
            raise PathError(f'invalid ssh key "{name}"', path)
        keys[name] = place if equals else None
    return keys


def _ulimit(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if isinstance(value, dict) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return _refuse(value, path, "external")


def _maybe_external(self: _Canonical, value: Any, path: tree.Path) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("external"), dict):
        return value
    name = value["external"].get("name")
    value["external"] = True
    if name is not None:
        self.warn(f"{tree.dotted(path)}: external.name is deprecated. Please set name and external: true")
        if value.setdefault("name", name) != name:
            raise PathError(f"{tree.dotted(path)}: name and external.name conflict; only use name", path)
    return value


_S = "services.*"
_TRANSFORMS = tree.rules({
    _S: _service,
    f"{_S}.build": _build, f"{_S}.build.secrets.[]": _file_mount, f"{_S}.build.provenance": _text,
    f"{_S}.build.sbom": _text, f"{_S}.build.additional_contexts": _key_values, f"{_S}.build.ssh": _ssh,
    f"{_S}.build.ulimits.*": _ulimit, f"{_S}.depends_on": _depends_on, f"{_S}.env_file": _env_file,
    f"{_S}.label_file": _list, f"{_S}.extends": _extends, f"{_S}.gpus": _gpus, f"{_S}.networks": _names,
    f"{_S}.models": _names, f"{_S}.volumes.[]": _volume, f"{_S}.dns": _list, f"{_S}.devices.[]": _device,
    f"{_S}.secrets.[]": _file_mount, f"{_S}.configs.[]": _file_mount, f"{_S}.ports": _ports,
    f"{_S}.ulimits.*": _ulimit, f"{_S}.develop.watch.[].ignore": _list, f"{_S}.develop.watch.[].include": _list,
    "volumes.*": _maybe_external, "networks.*": _maybe_external, "secrets.*": _maybe_external,
    "configs.*": _maybe_external,
})  # fmt: skip


# -- defaults


def set_defaults(value: tree.Tree) -> tree.Tree:
    """Adds what is there when a file says nothing (in place)."""
    result = tree.rewrite(value, _DEFAULTS, lambda rule, part, path: rule(part, path))
    assert isinstance(result, dict)
    return result


def _default_context(value: Any, path: tree.Path) -> Any:
    if isinstance(value, dict):
        value.setdefault("context", ".")
    return value


def _default_target(value: Any, path: tree.Path) -> Any:
    if isinstance(value, dict):
        value.setdefault("target", f"/run/secrets/{go_print(value.get('source'))}")
    return value


def _default_port(value: Any, path: tree.Path) -> Any:
    if isinstance(value, dict):
        value.setdefault("protocol", "tcp")
        value.setdefault("mode", "ingress")
    return value


def _default_device(value: Any, path: tree.Path) -> Any:
    if isinstance(value, dict) and "count" not in value and "device_ids" not in value:
        value["count"] = "all"
    return value


_DEFAULTS = tree.rules({
    f"{_S}.build": _default_context, f"{_S}.secrets.[]": _default_target, f"{_S}.ports.[]": _default_port,
    f"{_S}.deploy.resources.reservations.devices.[]": _default_device, f"{_S}.gpus.[]": _default_device,
})  # fmt: skip
