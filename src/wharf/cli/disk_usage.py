"""`wharf system df` and `wharf builder du`: what takes how much of the disk, and what could be had back."""

from __future__ import annotations

from wharf.cli.flags import Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import ExitWith, Session
from wharf.cli.table import align, ellipsis
from wharf.cli.units import human_duration, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DF = Command(
    "system df",
    "[OPTIONS]",
    "Show docker disk usage",
    (
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("verbose", "v", "bool", "Show detailed information on space usage"),
    ),
    example="wharf system df -v",
)
DU = Command(
    "builder du",
    "[OPTIONS]",
    "Disk usage of the build cache",
    (
        ("builder", "", "string", "The daemon's own builder is the only one"),
        ("filter", "", "list:filter", "Provide filter values (e.g. 'type=regular')"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("verbose", "", "bool", "Provide a more verbose output"),
    ),
    checks={"filter": filter_flag},
    example="wharf builder du --verbose",
)
_HEADERS = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"}
_CACHE_HEADERS = {
    "ID": "CACHE ID", "CacheType": "CACHE TYPE", "Size": "SIZE", "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED", "UsageCount": "USAGE", "Shared": "SHARED", "InUse": "IN USE",
    "Description": "DESCRIPTION", "Parent": "PARENT",
}  # fmt: skip


def df(session: Session, args: list[str]) -> int:
    """A row for each kind of thing, or everything with -v."""
    flags, _ = DF.parse(args)
    usage = session.client().get("/system/df")
    form = flags.get("format", "")
    if flags.get("verbose"):
        if form and form not in ("table", "json"):
            raise ExitWith("wharf: a template for 'system df -v' is not there: use json")
        return _json(session, usage) if form == "json" else _verbose(session, usage)
    rows = [_images(usage), _containers(usage), _volumes(usage), _builds(usage)]
    show(session, Listing([Column(field, _HEADERS[field]) for field in _HEADERS], _HEADERS, "Type"), rows, form)
    return 0


def builder_du(session: Session, args: list[str]) -> int:
    """The build cache, entry by entry."""
    flags, _ = DU.parse(args)
    filters = {"type": "build-cache"}
    found = session.client().get("/system/df", **filters).get("BuildCache") or []
    found = [item for item in found if _fits(item, add_filters(flags.get("filter", [])) or {})]
    rows = [_cache_row(item) for item in sorted(found, key=lambda item: -item.get("Size", 0))]
    columns = [Column(field, _CACHE_HEADERS[field]) for field in ("ID", "CacheType", "Size", "LastUsedSince", "Shared")]
    form = flags.get("format", "")
    if flags.get("verbose") and not form:
        for row in rows:
            session.write("".join(f"{header}:\t{row[name]}\n" for name, header in _CACHE_HEADERS.items()) + "\n")
    else:
        show(session, Listing(columns, _CACHE_HEADERS, "ID"), rows, form)
    if not form:
        free = sum(item.get("Size", 0) for item in found if not item.get("InUse"))
        session.line(f"Reclaimable:\t{human_size(free)}")
        session.line(f"Total:\t\t{human_size(sum(item.get('Size', 0) for item in found))}")
    return 0


def _fits(item: dict[str, Any], filters: dict[str, dict[str, bool]]) -> bool:
    fields = {"id": "ID", "type": "Type", "description": "Description", "inuse": "InUse", "shared": "Shared"}
    for key, values in filters.items():
        if key not in fields:
            raise ExitWith(f"unsupported filter: {key}")
        if str(item.get(fields[key], "")).lower() not in {value.lower() for value in values}:
            return False
    return True


def _row(kind: str, total: int, active: int, size: int, free: int, percent: bool = True) -> dict[str, Any]:
    share = f" ({free * 100 // size}%)" if percent and size else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size),
        "Reclaimable": human_size(free) + share,
    }


def _images(usage: dict[str, Any]) -> dict[str, Any]:
    images, layers = usage.get("Images") or [], usage.get("LayersSize") or 0
    active = [image for image in images if image["Containers"] > 0]
    used = sum(image["Size"] - max(image.get("SharedSize", 0), 0) for image in active)
    return _row("Images", len(images), len(active), layers, max(layers - used, 0))


def _containers(usage: dict[str, Any]) -> dict[str, Any]:
    containers = usage.get("Containers") or []
    sizes = {item["Id"]: item.get("SizeRw") or 0 for item in containers}
    active = [item["Id"] for item in containers if _is_active(item)]
    free = sum(sizes.values()) - sum(sizes[name] for name in active)
    return _row("Containers", len(containers), len(active), sum(sizes.values()), free)


def _is_active(container: dict[str, Any]) -> bool:
    return any(word in container.get("State", "").lower() for word in ("running", "paused", "restarting"))


def _volumes(usage: dict[str, Any]) -> dict[str, Any]:
    volumes = usage.get("Volumes") or []
    known = [item["UsageData"] for item in volumes if item.get("UsageData")]
    size = sum(max(item["Size"], 0) for item in known)
    free = sum(max(item["Size"], 0) for item in known if item["RefCount"] == 0)
    return _row("Local Volumes", len(volumes), sum(1 for item in known if item["RefCount"] > 0), size, free)


def _builds(usage: dict[str, Any]) -> dict[str, Any]:
    entries = usage.get("BuildCache") or []
    size = sum(item.get("Size", 0) for item in entries if not item.get("Shared"))
    free = sum(item.get("Size", 0) for item in entries if not item.get("Shared") and not item.get("InUse"))
    return _row("Build Cache", len(entries), sum(1 for item in entries if item.get("InUse")), size, free, False)


def _json(session: Session, usage: dict[str, Any]) -> int:
    from wharf.client import jsontext

    session.line(jsontext.dumps(usage))
    return 0


def _verbose(session: Session, usage: dict[str, Any]) -> int:
    session.write("Images space usage:\n\n" + align(_image_lines(usage)))
    session.write("\nContainers space usage:\n\n" + align(_container_lines(usage)))
    session.write("\nLocal Volumes space usage:\n\n" + align(_volume_lines(usage)))
    entries = usage.get("BuildCache") or []
    size = sum(item.get("Size", 0) for item in entries if not item.get("Shared"))
    session.write(f"\nBuild cache usage: {human_size(size)}\n\n")
    fields = ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared")
    lines = [[_CACHE_HEADERS[field] for field in fields]]
    lines += [[str(row[field]) for field in fields] for row in map(_cache_row, entries)]
    session.write(align(lines))
    return 0


def _image_lines(usage: dict[str, Any]) -> list[list[str]]:
    lines = [["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"]]
    for image in usage.get("Images") or []:
        shared = max(image.get("SharedSize", 0), 0)
        for name in image.get("RepoTags") or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            sizes = [human_size(image["Size"], 3), human_size(shared), human_size(image["Size"] - shared)]
            short = image["Id"].partition(":")[2][:12]
            lines.append([repository, tag, short, _ago(image["Created"]), *sizes, str(image["Containers"])])
    return lines


def _container_lines(usage: dict[str, Any]) -> list[list[str]]:
    lines = [["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"]]
    for item in usage.get("Containers") or []:
        volumes = sum(1 for mount in item.get("Mounts") or [] if mount.get("Driver") == "local")
        names = ",".join(name.lstrip("/") for name in item["Names"])
        size = human_size(item.get("SizeRw") or 0)
        command = f'"{ellipsis(item["Command"], 20)}"'
        line = [
            item["Id"][:12],
            item["Image"],
            command,
            str(volumes),
            size,
            _ago(item["Created"]),
            item["Status"],
            names,
        ]
        lines.append(line)
    return lines


def _volume_lines(usage: dict[str, Any]) -> list[list[str]]:
    lines = [["VOLUME NAME", "LINKS", "SIZE"]]
    for item in usage.get("Volumes") or []:
        data = item.get("UsageData") or {"RefCount": 0, "Size": 0}
        lines.append([item["Name"], str(data["RefCount"]), human_size(max(data["Size"], 0))])
    return lines


def _cache_row(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "ID": item["ID"][:12],
        "Parent": ",".join(item.get("Parents") or []),
        "CacheType": item.get("Type", ""),
        "Size": human_size(item.get("Size", 0)),
        "CreatedSince": _ago_text(item.get("CreatedAt") or ""),
        "LastUsedSince": _ago_text(item.get("LastUsedAt") or ""),
        "UsageCount": str(item.get("UsageCount", 0)),
        "InUse": str(bool(item.get("InUse"))).lower(),
        "Shared": str(bool(item.get("Shared"))).lower(),
        "Description": item.get("Description", ""),
    }


def _ago(seconds: float) -> str:
    import time

    return f"{human_duration(max(time.time() - seconds, 0))} ago"


def _ago_text(text: str) -> str:
    """Of an RFC 3339 time; "" for none."""
    from datetime import datetime

    if not text:
        return ""
    return _ago(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
