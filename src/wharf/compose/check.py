"""What a schema cannot say: attributes that exclude one another, references to what is not there, cycles (pure)."""

from __future__ import annotations

from collections.abc import Callable

from wharf.compose import tree
from wharf.compose.interpolate import PathError
from wharf.compose.shortforms import is_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INVALID = ": invalid compose project"


def validate(model: tree.Tree) -> None:
    """Checks of the merged model before its paths are resolved; raises PathError."""
    tree.rewrite(model, _CHECKS, _checked)


def _checked(rule: Callable[[Any, tree.Path], None], value: Any, path: tree.Path) -> Any:
    rule(value, path)
    return value


def _external_volume(value: Any, path: tree.Path) -> None:
    if value is None or not value.get("external"):
        return
    for key in value:
        if key not in ("name", "external") and not key.startswith(("x-", "#")):
            raise PathError(
                f'{tree.dotted(path)}: conflicting parameters "external" and "{key}" specified', (*path, key)
            )


def _sources(*keys: str) -> Callable[[Any, tree.Path], None]:
    def check(value: Any, path: tree.Path) -> None:
        given = [key for key in keys if key in (value or {})]
        names = "|".join(keys)
        if len(given) > 1:
            raise PathError(f"{tree.dotted(path)}: {names} attributes are mutually exclusive", path)
        if not given and not {"driver", "external"} & set(value or {}):
            raise PathError(f"{tree.dotted(path)}: one of {names} must be set", path)

    return check


def _host_ip(value: Any, path: tree.Path) -> None:
    if isinstance(value, dict) and "host_ip" in value and not is_address(str(value["host_ip"])):
        raise PathError(f"{tree.dotted(path)}: invalid ip address: {value['host_ip']}", path)


def _not_blank(value: Any, path: tree.Path) -> None:
    if value == "":
        raise PathError(f"{tree.dotted(path)}: value can't be blank", path)


def _device_request(value: Any, path: tree.Path) -> None:
    if isinstance(value, dict) and "count" in value and "device_ids" in value:
        raise PathError(f'{tree.dotted(path)}: "count" and "device_ids" attributes are exclusive', path)


_CHECKS = tree.rules({
    "volumes.*": _external_volume, "configs.*": _sources("file", "environment", "content"),
    "secrets.*": _sources("file", "environment"), "services.*.ports.[]": _host_ip,
    "services.*.develop.watch.[].path": _not_blank,
    "services.*.deploy.resources.reservations.devices.[]": _device_request, "services.*.gpus.[]": _device_request,
})  # fmt: skip


# -- a typed project


def check_consistency(project: tree.Tree, services: dict[str, Any], disabled: dict[str, Any]) -> None:
    """References and exclusions in the typed project's enabled services; raises PathError."""
    for name in sorted(services):
        service = services[name]
        for check in _CONSISTENT:
            check(name, service, project, _Known(services, disabled))
    for name, secret in (project.get("secrets") or {}).items():
        if not secret.get("external") and not secret.get("file") and not secret.get("environment"):
            raise PathError(f'secret "{name}" must declare either `file` or `environment`{_INVALID}', ("secrets", name))
    _cycles(services)


class _Known:
    def __init__(self, services: dict[str, Any], disabled: dict[str, Any]) -> None:
        self.services = services
        self.disabled = disabled


def _fail(name: str, message: str, *where: str) -> PathError:
    return PathError(message + _INVALID, ("services", name, *where))


def _image_or_build(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    build = service.get("build")
    if build is None and not service.get("image") and service.get("provider") is None:
        raise _fail(name, f'service "{name}" has neither an image nor a build context specified')
    if build is None:
        return
    if build.get("dockerfile_inline") and build.get("dockerfile"):
        raise _fail(name, f'service "{name}" declares mutualy exclusive dockerfile and dockerfile_inline', "build")
    for context, value in (build.get("additional_contexts") or {}).items():
        if not value.startswith("service:"):
            continue
        target = value.removeprefix("service:")
        what = "non-buildable" if target in known.services else "unknown"
        if target not in known.services or known.services[target].get("build") is None:
            message = f'service "{name}" declares {what} service "{target}" as additional contexts {context}'
            raise PathError(message, ("services", name, "build", "additional_contexts"))
    platform, platforms = service.get("platform"), build.get("platforms")
    if platforms and platform and platform not in platforms:
        raise _fail(name, f'service.build.platforms MUST include service.platform "{platform}"', "build", "platforms")


def _networks(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    networks, mode = service.get("networks") or {}, service.get("network_mode", "")
    if mode and networks:
        raise _fail(name, f"service {name} declares mutually exclusive `network_mode` and `networks`", "network_mode")
    for network in networks:
        if network not in (project.get("networks") or {}):
            raise _fail(name, f'service "{name}" refers to undefined network {network}', "networks")


def _health(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    test = (service.get("healthcheck") or {}).get("test")
    if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
        message = 'healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"'
        raise PathError(message, ("services", name, "healthcheck", "test"))


def _dependencies(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    for other, how in (service.get("depends_on") or {}).items():
        if other in known.services or (other in known.disabled and not how.get("required")):
            continue
        raise _fail(name, f'service "{name}" depends on undefined service "{other}"', "depends_on", other)


def _shared_network(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    mode = service.get("network_mode", "")
    target = mode.removeprefix("service:")
    if target != mode and target not in known.services:  # it need not be there to depend on
        message = f"service \"{target}\" not found for network_mode 'service:{target}'"
        raise PathError(message, ("services", name, "network_mode"))


def _resources_named(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    for volume in service.get("volumes") or ():
        source = volume.get("source") if volume.get("type") == "volume" else None
        if source and source not in (project.get("volumes") or {}):
            raise _fail(name, f'service "{name}" refers to undefined volume {source}', "volumes")
    for secret in (service.get("build") or {}).get("secrets") or ():
        if secret.get("source") not in (project.get("secrets") or {}):
            raise _fail(name, f'service "{name}" refers to undefined build secret {secret.get("source")}', "build")
    for kind, singular in (("configs", "config"), ("models", "model"), ("secrets", "secret")):
        for item in service.get(kind) or ():
            source = item.get("source", "") if isinstance(item, dict) else item
            if source not in (project.get(kind) or {}):
                raise _fail(name, f'service "{name}" refers to undefined {singular} {source}', kind)


def _limits(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    deploy = service.get("deploy")
    if deploy is None:
        return
    resources = deploy.get("resources") or {}
    for attribute, part, field in (
        ("cpus", "limits", "cpus"), ("mem_limit", "limits", "memory"),
        ("mem_reservation", "reservations", "memory"), ("pids_limit", "limits", "pids"),
    ):  # fmt: skip
        there = resources.get(part)
        if service.get(attribute) and there is not None and (there.get(field) or 0) != service[attribute]:
            message = (
                f"services.{name}: can't set distinct values on '{attribute}' and 'deploy.resources.{part}.{field}'"
            )
            raise _fail(name, message, attribute)


def _scales(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    scale, deploy = service.get("scale"), service.get("deploy")
    replicas = deploy.get("replicas") if deploy is not None else None
    if scale is not None and deploy is not None:
        if replicas is not None and scale != replicas:
            raise _fail(name, f"services.{name}: can't set distinct values on 'scale' and 'deploy.replicas'", "scale")
        deploy["replicas"] = replicas = scale
    for value, where in ((scale, "scale"), (replicas, "deploy.replicas")):
        if value is not None and value < 0:
            message = f"services.{name}.{where}: must be greater than or equal to 0"
            raise PathError(message, ("services", name, *where.split(".")))
    if (scale if scale is not None else replicas or 1) > 1 and service.get("container_name"):
        attribute = "scale" if scale is not None else "deploy.replicas"
        message = f"services.{attribute}: can't set container_name and {name} as container name must be unique"
        raise _fail(name, message, "container_name")


def _targets(name: str, service: tree.Tree, project: tree.Tree, known: _Known) -> None:
    for watch in (service.get("develop") or {}).get("watch") or ():
        if not watch.get("target") and watch.get("action") not in ("rebuild", "restart"):
            raise _fail(name, f"services.{name}.develop.watch: target is required for non-rebuild actions", "develop")
    mounted: dict[str, str] = {}
    targets = [("tmpfs", index, item.partition(":")[0]) for index, item in enumerate(service.get("tmpfs") or ())]
    targets += [("volumes", index, item.get("target", "")) for index, item in enumerate(service.get("volumes") or ())]
    for kind, index, target in targets:
        here = f"services.{name}.{kind}[{index}]"
        if target in mounted:
            message = f"{here}: target {target} already mounted as {mounted[target]}"
            raise PathError(message, ("services", name, kind, str(index)))
        mounted[target] = here


_CONSISTENT = (
    _image_or_build, _networks, _health, _dependencies, _shared_network, _resources_named, _limits, _scales, _targets,
)  # fmt: skip
"""In compose-go's order: of two errors, people hear the first."""


def _cycles(services: dict[str, Any]) -> None:
    """Depth first, without recursion: 2,000 services may stand in one row."""
    done: set[str] = set()
    for start in sorted(services):
        path: list[str] = []
        stack: list[tuple[str, Any]] = [(start, iter((start,)))] if start not in done else []
        while stack:
            name = next(stack[-1][1], None)
            if name is None:
                stack.pop()
                if path and stack:
                    done.add(path.pop())
                continue
            if name in path:
                chain = " -> ".join([*path[path.index(name) :], name])
                raise PathError(f"dependency cycle detected: {chain}", ("services", name, "depends_on"))
            if name in done or name not in services:
                continue
            path.append(name)
            stack.append((name, iter(sorted(services[name].get("depends_on") or ()))))


def check_container_names(services: dict[str, Any]) -> None:
    """No two services may have one container_name; raises PathError."""
    names: dict[str, str] = {}
    for name in sorted(services):
        wanted = services[name].get("container_name")
        if wanted and wanted in names:
            message = f'services.{name}: container name "{wanted}" is already in use by service {names[wanted]}"'
            raise PathError(message, ("services", name, "container_name"))
        if wanted:
            names[wanted] = name
