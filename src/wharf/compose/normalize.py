"""What is implicit made explicit: default network, names, dependencies that follow from other attributes (in place)."""

from __future__ import annotations

from collections.abc import Mapping

from wharf.compose.canonical import clean_path
from wharf.compose.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def normalize(model: Tree, environment: Mapping[str, str]) -> Tree:
    """The model with everything that follows from what it says."""
    _default_network(model)
    for service in (model.get("services") or {}).values():
        _service(service, environment)
    _names(model)
    return model


def _default_network(model: Tree) -> None:
    networks = model.get("networks") or {}
    used = False
    for service in (model.get("services") or {}).values():
        if "provider" in service or "network_mode" in service:
            continue
        if not service.get("networks"):
            service["networks"] = {"default": None}
        used = used or "default" in service["networks"]
    if used and "default" not in networks:
        networks["default"] = None
    if networks:
        model["networks"] = networks


def _service(service: Tree, environment: Mapping[str, str]) -> None:
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    build = service.get("build")
    if build is not None:
        build.setdefault("context", ".")
        if build.get("dockerfile") is None and build.get("dockerfile_inline") is None:
            build["dockerfile"] = "Dockerfile"
        if "args" in build:
            build["args"] = resolve_variables(build["args"], environment, keep=False)
    if "environment" in service:
        service["environment"] = resolve_variables(service["environment"], environment, keep=True)
    for volume in service.get("volumes") or ():
        if isinstance(volume, dict) and isinstance(volume.get("target"), str):
            volume["target"] = clean_path(volume["target"])
    depends = _implied(service)
    if depends:
        service["depends_on"] = depends


def _implied(service: Tree) -> Tree:
    """`depends_on` with what links, shared namespaces and volumes_from imply."""
    depends: Tree = service.get("depends_on") or {}

    def need(name: str, restart: bool) -> None:
        depends.setdefault(name, {"condition": "service_started", "restart": restart, "required": True})

    for link in service.get("links") or ():
        parts = link.split(":")
        need(parts[0] if len(parts) == 2 else link, True)
    for namespace in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        mode = service.get(namespace)
        if isinstance(mode, str) and mode.startswith("service:"):
            need(mode.removeprefix("service:"), True)
    for source in service.get("volumes_from") or ():
        if not source.startswith("container:"):
            need(source.split(":")[0], False)
    return depends


def resolve_variables(value: Any, environment: Mapping[str, str], keep: bool) -> Any:
    """Keys without a value take the surroundings'; `keep` says whether those that have none there stay."""
    if isinstance(value, list):
        resolved = []
        for item in value:
            if isinstance(item, str) and "=" not in item:
                if item in environment:
                    resolved.append(f"{item}={environment[item]}")
                elif keep:
                    resolved.append(item)
            else:
                resolved.append(item)
        return resolved
    if not isinstance(value, dict):
        return value
    return {
        key: environment.get(key) if item is None else item
        for key, item in value.items()
        if item is not None or keep or key in environment
    }


def _names(model: Tree) -> None:
    for kind in ("networks", "volumes", "configs", "secrets"):
        for key, item in (model.get(kind) or {}).items():
            resource = {} if item is None else item
            if resource.get("name") is None:
                external = resource.get("external") in (True, "true", "True", "TRUE", "1", "t", "T", 1)
                resource["name"] = key if external else f"{model.get('name')}_{key}"
            model[kind][key] = resource


def resolve_environment(model: Tree, environment: Mapping[str, str]) -> None:
    """List forms `- VAR`, and secrets and configs that come from a variable (in place)."""
    for service in (model.get("services") or {}).values():
        if isinstance(service, dict) and isinstance(service.get("environment"), list):
            service["environment"] = resolve_variables(
                [item for item in service["environment"] if isinstance(item, str)], environment, keep=True
            )
    for kind, field in (("secrets", "x-#value"), ("configs", "content")):
        for item in (model.get(kind) or {}).values():
            if isinstance(item, dict) and item.get("environment") in environment:
                item[field] = environment[item["environment"]]
