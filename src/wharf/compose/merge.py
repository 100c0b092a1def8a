"""One file over another: the rules by attribute, and what may be in a list only once (pure)."""

from __future__ import annotations

from collections.abc import Callable

from wharf.compose import tree
from wharf.compose.scalars import go_print
from wharf.compose.shortforms import parse_volume
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Merger = Callable[[Any, Any, tree.Path, list[tree.Rules]], Any]
    Key = Callable[[Any, str], str]


def merge(base: tree.Tree, over: tree.Tree) -> tree.Tree:
    """`base` with `over` upon it (`base` is used up); raises Invalid where two shapes cannot be one."""
    merged = _merge(base, over, (), [_RULES])
    assert isinstance(merged, dict)
    return merged


def extend_service(base: tree.Tree, over: tree.Tree) -> tree.Tree:
    """What a service makes of the one it extends."""
    merged = _merge(base, over, ("services", "x"), tree.step(tree.step([_RULES], "services"), "x"))
    assert isinstance(merged, dict)
    return merged


def _merge(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    rule = tree.rule_of(places)
    if rule is not None:
        return rule(base, over, path, places)
    if over is None:
        return base
    if isinstance(base, dict):
        if not isinstance(over, dict):
            raise Invalid(f"cannot override {tree.dotted(path)}")
        return _mappings(base, over, path, places)
    if isinstance(base, list):
        if not isinstance(over, list):
            raise Invalid(f"cannot override {tree.dotted(path)}")
        return base + over
    return over


def _mappings(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    base = {} if base is None else base
    for key, value in (over or {}).items():
        if key in base:
            base[key] = _merge(base[key], value, (*path, key), tree.step(places, key))
        else:
            base[key] = value
    return base


def _replace(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    return over


def _logging(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        raise Invalid(f"{tree.dotted(path)} must be a mapping")
    same = base.get("driver") == over.get("driver")
    return _mappings(base, over, path, places) if same or "driver" not in over or "driver" not in base else over


def _build(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    def shape(value: Any) -> Any:
        return {"context": value} if isinstance(value, str) else value if isinstance(value, dict) else {}

    return _mappings(shape(base), shape(over), path, places)


def _as_mapping(value: Any, default: tree.Tree | None) -> tree.Tree:
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(item): None if default is None else dict(default) for item in value}
    return {}


def _depends_on(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    default = {"condition": "service_started", "required": True}
    return _mappings(_as_mapping(base, default), _as_mapping(over, default), path, places)


def _named(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    return _mappings(_as_mapping(base, None), _as_mapping(over, None), path, places)


def _as_sequence(value: Any) -> list[Any]:
    """`{A: 1, B: null}` is `[A=1, B]`; sorted, since a mapping has no order."""
    if isinstance(value, dict):
        items = []
        for key, item in value.items():
            if item is None:
                items.append(key)
            elif isinstance(item, list):
                items += [f"{key}={go_print(one)}" for one in item]
            else:
                items.append(f"{key}={go_print(item)}")
        return sorted(items)
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, str) else []


def _sequence(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    return _as_sequence(base) + _as_sequence(over)


def _extra_hosts(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    first = _as_sequence(base)
    return first + [item for item in _as_sequence(over) if item not in first]


def _ipam_config(base: Any, over: Any, path: tree.Path, places: list[tree.Rules]) -> Any:
    """Pools are the same when their subnet is."""
    if not isinstance(base, list) or not isinstance(over, list):
        raise Invalid(
            f"{tree.dotted(path)}: unexpected type {'string' if isinstance(base, str) else type(base).__name__}"
        )
    pools: list[tree.Tree] = []
    for original in base:
        first = _as_mapping(original, None)
        for other in over:
            second = _as_mapping(other, None)
            if second.get("subnet") != first.get("subnet") and _pool(pools, second) is None:
                pools.append(second)
                continue
            merged = _mappings(first, second, path, [])
            index = _pool(pools, merged)
            if index is None:
                pools.append(merged)
            else:
                pools[index] = merged
    return pools


def _pool(pools: list[tree.Tree], wanted: tree.Tree) -> int | None:
    return next((i for i, pool in enumerate(pools) if pool.get("subnet") == wanted.get("subnet")), None)


_S = "services.*."
_RULES = tree.rules({
    "networks.*.ipam.config": _ipam_config,
    "networks.*.labels": _sequence,
    "volumes.*.labels": _sequence,
    **{_S + name: _sequence for name in (
        "annotations", "build.args", "build.additional_contexts", "build.labels", "deploy.labels", "dns", "dns_opt",
        "dns_search", "env_file", "label_file", "environment", "labels", "sysctls", "tmpfs", "volumes.*.volume.labels",
    )},
    **{_S + name: _replace for name in ("command", "entrypoint", "healthcheck.test", "ulimits.*")},
    **{_S + name: _named for name in ("networks", "models")},
    **{_S + name: _extra_hosts for name in ("extra_hosts", "build.extra_hosts")},
    _S + "build": _build,
    _S + "depends_on": _depends_on,
    _S + "logging": _logging,
})  # fmt: skip


# -- what may be there once: the later one takes the earlier one's place


def enforce_unicity(value: tree.Tree) -> tree.Tree:
    """Lists without second entries for the same thing (in place)."""

    def apply(rule: Key, items: Any, path: tree.Path) -> Any:
        return _unique(items, rule, path) if isinstance(items, list) else items

    result = tree.rewrite(value, _UNIQUE, apply)
    assert isinstance(result, dict)
    return result


def _unique(items: list[Any], key_of: Key, path: tree.Path) -> list[Any]:
    places: dict[str, int] = {}
    result: list[Any] = []
    for index, item in enumerate(items):
        key = key_of(item, f"{tree.dotted(path)}.[{index}]")
        if key in places:
            result[places[key]] = item
        else:
            places[key] = len(result)
            result.append(item)
    return result


def _by_name(item: Any, where: str) -> str:
    if not isinstance(item, str):
        kind = {bool: "bool", int: "int", float: "float64", type(None): "<nil>"}.get(
            type(item), "map[string]interface {}"
        )
        raise Invalid(f"{where}: unexpected type {kind}")
    return item.partition("=")[0]


def _by_target(item: Any, where: str) -> str:
    if isinstance(item, dict):
        if not isinstance(item.get("target"), str):
            raise Invalid(f"service volume {where} is missing a mount target")
        return str(item["target"])
    return str(parse_volume(item).get("target", "")) if isinstance(item, str) else ""


def _by_device(item: Any, where: str) -> str:
    if isinstance(item, dict):
        if not isinstance(item.get("target"), str):
            raise Invalid(f"service device {where} is missing a mount target")
        return str(item["target"])
    parts = item.split(":") if isinstance(item, str) else [""]
    return parts[0] if len(parts) == 1 else parts[1]


def _by_value(item: Any, where: str) -> str:
    if isinstance(item, dict | list) or item is None:
        raise Invalid(f"{where}: unsupported expose value {go_print(item)}")
    return go_print(item)


def _by_mount(default: str) -> Key:
    def key(item: Any, where: str) -> str:
        if isinstance(item, str):
            return f"{default}/{item}"
        if not isinstance(item, dict):
            raise Invalid(f"{where}: unsupported expose value {go_print(item)}")
        return str(item["target"]) if "target" in item else f"{default}/{go_print(item.get('source'))}"

    return key


def _by_port(item: Any, where: str) -> str:
    if isinstance(item, dict):
        if "target" not in item:
            raise Invalid(f"service ports {where} is missing a target port")
        host, protocol = item.get("host_ip", "0.0.0.0"), item.get("protocol", "tcp")
        return f"{host}:{go_print(item.get('published'))}:{item['target']}/{protocol}"
    return go_print(item) if isinstance(item, int | str) else ""


def _by_env_file(item: Any, where: str) -> str:
    if isinstance(item, dict):
        if not isinstance(item.get("path"), str):
            raise Invalid(f"environment path attribute {where} is missing")
        return str(item["path"])
    return item if isinstance(item, str) else ""


_UNIQUE = tree.rules({
    "networks.*.labels": _by_name, "networks.*.ipam.options": _by_name,
    **{_S + name: _by_name for name in (
        "annotations", "build.args", "build.additional_contexts", "build.platform", "build.tags", "build.labels",
        "cap_add", "cap_drop", "deploy.labels", "dns", "dns_opt", "dns_search", "environment", "labels", "links",
        "networks.*.aliases", "networks.*.link_local_ips", "profiles", "sysctls", "tmpfs",
    )},
    _S + "configs": _by_mount(""), _S + "secrets": _by_mount("/run/secrets"), _S + "env_file": _by_env_file,
    _S + "expose": _by_value, _S + "ports": _by_port, _S + "volumes": _by_target, _S + "devices": _by_device,
})  # fmt: skip
