"""A service's volumes, secrets and configs -> binds and mounts for the engine; files that are put in (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from wharf.compose.places import is_windows
from wharf.compose.project import Project, Service
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECRETS = "/run/secrets/"
_RECURSIVE = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}


def container_mounts(
    project: Project, service: Service, inherited: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[dict[str, Any]]]:
    """Binds as text where that is enough (it makes missing directories), mounts for the rest."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
        target: (dict(mount), None) for target, mount in inherited.items()
    }
    for volume in service.get("volumes") or ():
        target = volume.get("target", "")
        if target in inherited and not volume.get("source"):
            continue
        found[target] = (_mount(project, volume), volume)
    for mount in [*_files(project, service, "secrets"), *_files(project, service, "configs")]:
        found.setdefault(mount["Target"], (mount, None))
    binds, mounts = [], []
    for mount, volume in found.values():
        text = _bind_text(project, mount, volume)
        if text:
            binds.append(text)
        else:
            mounts.append(mount)
    return binds, mounts


def _bind_text(project: Project, mount: dict[str, Any], volume: dict[str, Any] | None) -> str:
    """`source:target:options`, or nothing where only a mount can say it."""
    if volume is None:
        return ""
    if mount["Type"] == "bind":
        bind = volume.get("bind")
        if bind is not None and (not bind.get("create_host_path") or bind.get("propagation") or bind.get("recursive")):
            return ""
    elif mount["Type"] == "volume":
        own = volume.get("volume") or {}
        named = any(item.get("name") == mount["Source"] for item in project.volumes.values())
        if not named or own.get("labels") or own.get("subpath") or own.get("nocopy"):
            return ""
    else:
        return ""
    bind = volume.get("bind") or {}
    options = ["ro" if volume.get("read_only") else "rw"]
    options += [bind[field] for field in ("selinux", "propagation") if bind.get(field)]
    return f"{mount['Source']}:{volume.get('target', '')}:{','.join(options)}"


def _mount(project: Project, volume: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = volume.get("type", ""), volume.get("source", "")
    if kind == "volume" and source in project.volumes:
        source = project.volumes[source].get("name", source)
    mount: dict[str, Any] = {"Type": kind, "Source": source, "Target": volume.get("target", ""),
                             "ReadOnly": bool(volume.get("read_only"))}  # fmt: skip
    if volume.get("consistency"):
        mount["Consistency"] = volume["consistency"]
    options = volume.get(kind)
    if options is not None and kind in _OPTIONS:
        name, convert = _OPTIONS[kind]
        mount[name] = convert(options)
    return mount


def _bind_options(bind: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"CreateMountpoint": bool(bind.get("create_host_path"))}
    if bind.get("propagation"):
        options["Propagation"] = bind["propagation"]
    if bind.get("recursive") in _RECURSIVE:
        options[_RECURSIVE[bind["recursive"]]] = True
    return options


def _volume_options(volume: Mapping[str, Any]) -> dict[str, Any]:
    options = {"NoCopy": bool(volume.get("nocopy")), "Subpath": volume.get("subpath"), "Labels": volume.get("labels")}
    return {key: value for key, value in options.items() if value}


def _tmpfs_options(tmpfs: Mapping[str, Any]) -> dict[str, Any]:
    options = {"SizeBytes": tmpfs.get("size", 0), "Mode": tmpfs.get("mode", 0)}
    return {key: value for key, value in options.items() if value}


def _image_options(image: Mapping[str, Any]) -> dict[str, Any]:
    return {"Subpath": image["subpath"]} if image.get("subpath") else {}


_OPTIONS = {
    "bind": ("BindOptions", _bind_options),
    "volume": ("VolumeOptions", _volume_options),
    "tmpfs": ("TmpfsOptions", _tmpfs_options),
    "image": ("ImageOptions", _image_options),
}


def target_of(reference: Mapping[str, Any], kind: str) -> str:
    """Where a secret or config appears."""
    base = _SECRETS if kind == "secrets" else "/"
    target = reference.get("target") or base + str(reference.get("source", ""))
    return str(target) if target.startswith("/") or is_windows(target) else base + target


def _files(project: Project, service: Service, kind: str) -> list[dict[str, Any]]:
    """Read-only binds of the secrets or configs that are files."""
    mounts = []
    for reference in service.get(kind) or ():
        item = getattr(project, kind)[reference.get("source", "")]
        what = kind.removesuffix("s")
        if item.get("external"):
            raise Invalid(f"unsupported external {what} {item.get('name', '')}")
        for field in ("driver", "template_driver"):
            if item.get(field):
                raise Invalid(f"Docker Compose does not support {kind}.*.{field}")
        if item.get("file") and not item.get("environment") and (kind == "secrets" or not item.get("content")):
            mounts.append(
                {
                    "Type": "bind",
                    "Source": item["file"],
                    "Target": target_of(reference, kind),
                    "ReadOnly": True,
                    "BindOptions": {},
                }
            )
    return mounts


def injected_files(project: Project, name: str, service: Service) -> list[tuple[str, bytes, Mapping[str, Any]]]:
    """Secrets and configs that are no files of the host: (target, content, how). Raises Invalid."""
    files = []
    for kind in ("secrets", "configs"):
        for reference in service.get(kind) or ():
            item = getattr(project, kind)[reference.get("source", "")]
            content = _content(project, item, kind.removesuffix("s"))
            if content is None:
                continue
            if service.get("read_only"):
                what = kind.removesuffix("s")
                raise Invalid(
                    f'cannot create {what} "{item.get("name", "")}" in read-only service {name}: `file` is the sole '
                    "supported option"
                )
            files.append((target_of(reference, kind), content.encode("utf-8", "surrogateescape"), reference))
    return files


def _content(project: Project, item: Mapping[str, Any], what: str) -> str | None:
    if item.get("content"):
        return str(item["content"])
    variable = item.get("environment")
    if not variable:
        return None
    if variable not in project.environment:
        raise Invalid(f'environment variable "{variable}" required by {what} "{item.get("name", "")}" is not set')
    return project.environment[variable] or None
