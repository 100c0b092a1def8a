"""`wharf compose ps`, `ls`, `images`, `top`, `port`, `volumes`, `stats` and `events`."""

from __future__ import annotations

import time

from wharf.cli import units
from wharf.cli.compose import Compose, command
from wharf.cli.compose_down import containers_of
from wharf.cli.session import ExitWith
from wharf.cli.table import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORMAT = ("format", "", "string", "Format the output. Values: [table | json]")
_QUIET = ("quiet", "q", "bool", "Only display IDs")
PS = command(
    "ps",
    "[OPTIONS] [SERVICE...]",
    "List containers",
    (
        ("all", "a", "bool", "Show all stopped containers (including those created by the run command)"),
        ("filter", "", "string", "Filter services by a property (supported filters: status)"),
        _FORMAT,
        ("no-trunc", "", "bool", "Don't truncate output"),
        ("orphans", "", "bool", "Include orphaned services (not declared by project)"),
        _QUIET,
        ("services", "", "bool", "Display services"),
        ("status", "", "list", "Filter services by status"),
    ),
)
LS = command(
    "ls",
    "[OPTIONS]",
    "List running compose projects",
    (
        ("all", "a", "bool", "Show all stopped Compose projects"),
        ("filter", "", "list", "Filter output based on conditions provided"),
        _FORMAT,
        _QUIET,
    ),
    operands=(0, 0),
)
IMAGES = command("images", "[OPTIONS] [SERVICE...]", "List images used by the created containers", (_FORMAT, _QUIET))
TOP = command("top", "[SERVICES...]", "Display the running processes")
PORT = command(
    "port",
    "[OPTIONS] SERVICE PRIVATE_PORT",
    "Print the public port for a port binding",
    (
        ("index", "", "int", "Index of the container if service has multiple replicas"),
        ("protocol", "", "string", "tcp or udp"),
    ),
    operands=(2, 2),
)
VOLUMES = command("volumes", "[OPTIONS] [SERVICE...]", "List volumes", (_FORMAT, _QUIET))
STATS = command(
    "stats",
    "[OPTIONS] [SERVICE]",
    "Display a live stream of container(s) resource usage statistics",
    (
        ("all", "a", "bool", "Show all containers (default shows just running)"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("no-stream", "", "bool", "Disable streaming stats and only pull the first result"),
        ("no-trunc", "", "bool", "Do not truncate output"),
    ),
)
EVENTS = command(
    "events",
    "[OPTIONS] [SERVICE...]",
    "Receive real time events from containers",
    (
        ("json", "", "bool", "Output events as a stream of json objects"),
        ("since", "", "string", "Show all events created since timestamp"),
        ("until", "", "string", "Stream events until this timestamp"),
    ),
)


def ps(compose: Compose, args: list[str]) -> int:
    """Lists the project's containers."""
    flags, names = PS.parse(args)
    states = list(flags.get("status", ()))
    if flags.get("filter"):
        key, _, value = flags["filter"].partition("=")
        if key != "status":
            raise ExitWith(f"unknown filter {key}")
        states.append(value)
    every = bool(flags.get("all") or states)
    found = containers_of(compose, names, all=every, one_off=None if flags.get("all") else False)
    if not names and not flags.get("orphans", True):
        project, _ = compose.project_or_name()
        if project is not None:
            from wharf.compose import labels

            found = [item for item in found if labels.service_of(item) in project.services]
    if states:
        found = [item for item in found if item.get("State") in states]
    return _show_containers(compose, flags, found)


def _show_containers(compose: Compose, flags: dict[str, Any], found: list[dict[str, Any]]) -> int:
    from wharf.cli.listing import Column, Listing, show
    from wharf.compose import labels

    if flags.get("quiet"):
        for item in found:
            compose.session.line(item["Id"])
        return 0
    if flags.get("services"):
        compose.session.line("\n".join(dict.fromkeys(labels.service_of(item) for item in found)))
        return 0
    form = flags.get("format", "")
    if form == "json":
        for item in found:
            compose.session.line(_json_row(compose, item, bool(flags.get("no-trunc"))))
        return 0
    rows = [_row(item, bool(flags.get("no-trunc"))) for item in found]
    if "ExitCode" in form or "Health" in form:  # only inspection tells them
        rows = [{**row, **_ended(compose, item)} for row, item in zip(rows, found, strict=True)]
    columns = [Column(name, header) for name, header in _COLUMNS]
    headers = {"ID": "CONTAINER ID", "State": "STATE", "Project": "PROJECT", "Labels": "LABELS",
               "CreatedAt": "CREATED AT", "Health": "HEALTH", "ExitCode": "EXIT CODE", **dict(_COLUMNS)}  # fmt: skip
    show(compose.session, Listing(columns, headers, quiet_field="ID"), rows, form, quiet=False)
    return 0


_COLUMNS = (
    ("Name", "NAME"), ("Image", "IMAGE"), ("Command", "COMMAND"), ("Service", "SERVICE"), ("RunningFor", "CREATED"),
    ("Status", "STATUS"), ("Ports", "PORTS"),
)  # fmt: skip


def _row(item: dict[str, Any], whole: bool) -> dict[str, Any]:
    from wharf.cli.ps import _row as container_row
    from wharf.compose import labels

    row = container_row(item, whole)
    found = item.get("Labels") or {}
    return {
        **row,
        "Name": labels.name_of(item),
        "Service": found.get(labels.SERVICE, ""),
        "Project": found.get(labels.PROJECT, ""),
        "Image": item.get("Image", ""),
    }


def _ended(compose: Compose, item: dict[str, Any]) -> dict[str, Any]:
    state = compose.engine().client.get(f"/containers/{item['Id']}/json")["State"]
    return {
        "ExitCode": state.get("ExitCode", 0) if state.get("Status") in ("exited", "dead") else 0,
        "Health": (state.get("Health") or {}).get("Status", "") if state.get("Status") == "running" else "",
    }


def _json_row(compose: Compose, item: dict[str, Any], whole: bool) -> str:
    """One line of `--format json`: the fields that docker compose has, in its order."""
    from wharf.client import jsontext
    from wharf.compose import labels

    row = _row(item, whole)
    publishers = [
        {"URL": port.get("IP", ""), "TargetPort": port.get("PrivatePort", 0),
         "PublishedPort": port.get("PublicPort", 0), "Protocol": port.get("Type", "")}
        for port in sorted(item.get("Ports") or (), key=lambda port: port.get("PrivatePort", 0))
    ]  # fmt: skip
    fields: dict[str, Any] = {
        **{key: row[key] for key in ("Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes", "Mounts", "Name",
                                     "Names", "Networks", "Ports", "Project", "RunningFor", "Service", "Size", "State",
                                     "Status")},
        **_ended(compose, item),
        "Publishers": publishers,
    }  # fmt: skip
    fields["ID"] = item["Id"] if whole else item["Id"][:12]
    fields["Names"] = labels.name_of(item)
    return jsontext.dumps(fields, sort_keys=True, escape_html=True)


def ls(compose: Compose, args: list[str]) -> int:
    """Lists the projects that have containers."""
    flags, _ = LS.parse(args)
    from wharf.client import jsontext
    from wharf.compose import labels

    filters = {"label": [labels.PROJECT, labels.HASH]}
    found = compose.engine().client.get("/containers/json", all=bool(flags.get("all")), filters=filters)
    projects: dict[str, list[dict[str, Any]]] = {}
    for item in found:
        projects.setdefault(item["Labels"][labels.PROJECT], []).append(item)
    rows = []
    for name in sorted(projects):
        wanted = [text.partition("=")[2] for text in flags.get("filter", ()) if text.startswith("name=")]
        if wanted and not any(part in name for part in wanted):
            continue
        states: dict[str, int] = {}
        files: dict[str, None] = {}
        for item in projects[name]:
            states[item["State"]] = states.get(item["State"], 0) + 1
            files.update(dict.fromkeys(item["Labels"].get(labels.CONFIG_FILES, "N/A").split(",")))
        rows.append((name, ", ".join(f"{key}({states[key]})" for key in sorted(states)), ",".join(files)))
    if flags.get("quiet"):
        for row in rows:
            compose.session.line(row[0])
    elif flags.get("format") == "json":
        shown = [{"Name": name, "Status": status, "ConfigFiles": files} for name, status, files in rows]
        compose.session.line(jsontext.dumps(shown))
    else:
        _table(compose, ["NAME", "STATUS", "CONFIG FILES"], [list(row) for row in rows])
    return 0


def _table(compose: Compose, header: list[str], rows: list[list[str]]) -> None:
    compose.session.write(align([header, *rows], 20, 1))


def images(compose: Compose, args: list[str]) -> int:
    """Lists the images that the containers were made of."""
    flags, names = IMAGES.parse(args)
    from wharf.client import jsontext
    from wharf.compose import labels
    from wharf.compose.observed import find_images

    found = containers_of(compose, names, all=True, one_off=None, known=False)
    known = find_images(compose.engine().client, (item["ImageID"] for item in found))
    rows, shown = [], []
    for item in found:
        image = known.get(item["ImageID"], {})
        repository, tag = _split(item["Image"])
        platform = "/".join(filter(None, (image.get("Os"), image.get("Architecture"), image.get("Variant"))))
        tagged = (image.get("Metadata") or {}).get("LastTagTime", "0001")
        tagged = image.get("Created", "") if tagged.startswith("0001") else tagged
        rows.append([labels.name_of(item), repository or "<none>", tag or "<none>", platform,
                     image.get("Id", "").removeprefix("sha256:")[:12], units.human_size(image.get("Size", 0), 3),
                     _age(tagged)])  # fmt: skip
        shown.append(
            {"ID": image.get("Id", ""), "ContainerName": labels.name_of(item), "Repository": repository, "Tag": tag,
             "Platform": platform, "Size": image.get("Size", 0), "LastTagTime": tagged}
        )  # fmt: skip
    if flags.get("quiet"):
        for id in dict.fromkeys(row["ID"].partition(":")[2] for row in shown):
            compose.session.line(id)
    elif flags.get("format") == "json":
        compose.session.line(jsontext.dumps(shown))
    else:
        _table(compose, ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"], rows)
    return 0


def _split(image: str) -> tuple[str, str]:
    from wharf.errors import WharfError
    from wharf.spec.reference import Reference

    try:
        reference = Reference.parse(image).with_default_tag()
    except WharfError:
        return "", ""
    return reference.familiar_name, reference.tag or ""


def _age(text: str) -> str:
    instant = units.parse_rfc3339(text)
    known = instant and not text.startswith("0001")
    return units.human_duration(time.time() - instant[0]) + " ago" if known and instant else "N/A"


def top(compose: Compose, args: list[str]) -> int:
    """The processes of the running containers, in one table."""
    _, names = TOP.parse(args)
    from wharf.compose import labels

    header: list[str] = ["SERVICE", "#"]
    rows: list[dict[str, str]] = []
    found = containers_of(compose, [], all=False, one_off=None)
    for item in (item for item in found if not names or labels.service_of(item) in names):
        answer = compose.engine().client.get(f"/containers/{item['Id']}/top")
        header += [title for title in answer["Titles"] if title not in header]
        for process in answer["Processes"]:
            row = dict(zip(answer["Titles"], process, strict=False))
            number = item["Labels"].get(labels.NUMBER, "")
            rows.append({**row, "SERVICE": labels.service_of(item), "#": number})
    if "CMD" in header:
        header = [*(title for title in header if title != "CMD"), "CMD"]
    if rows:
        lines = [[row.get(title, "-") for title in header] for row in rows]
        compose.session.write(align([header, *lines], 4, 2))
    return 0


def one_container(compose: Compose, service: str, index: int | None, all: bool = False) -> dict[str, Any]:
    """A service's container, the first unless an index says which; raises ExitWith when it does not run."""
    from wharf.compose import labels

    found = containers_of(compose, [service], all=all, one_off=None, known=False)
    if index:
        found = [item for item in found if labels.number_of(item) == index and not labels.is_one_off(item)]
    if not found:
        number = f" container #{index}" if index else ""
        raise ExitWith(f'service "{service}" is not running{number}')
    return min(found, key=lambda item: (labels.is_one_off(item), labels.number_of(item)))


def port(compose: Compose, args: list[str]) -> int:
    """Where a container's port is published."""
    flags, (service, text) = PORT.parse(args)
    if not text.isdecimal() or int(text) > 65535:
        raise ExitWith(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    protocol = flags.get("protocol", "tcp").lower()
    container = one_container(compose, service, flags.get("index"), all=True)
    for item in container.get("Ports") or ():
        if item.get("PrivatePort") == int(text) and item.get("Type") == protocol and item.get("PublicPort"):
            compose.session.line(f"{item.get('IP', '')}:{item['PublicPort']}")
            return 0
    from wharf.compose import labels

    published = [f"{item.get('PrivatePort')}/{item.get('Type')}" for item in container.get("Ports") or ()]
    raise ExitWith(f"no port {text}/{protocol} for container {labels.name_of(container)}: {', '.join(published)}")


def volumes(compose: Compose, args: list[str]) -> int:
    """Lists the project's volumes, or those of them that some services' containers use."""
    flags, names = VOLUMES.parse(args)
    from wharf.cli.volumes import show_volumes
    from wharf.compose import labels

    found = containers_of(compose, names, all=True, one_off=None)
    used = {mount["Name"] for item in found for mount in item.get("Mounts") or () if mount.get("Type") == "volume"}
    answer = compose.engine().client.get("/volumes", filters=labels.filters(compose.name()))
    listed = [item for item in (answer or {}).get("Volumes") or () if not names or item["Name"] in used]
    show_volumes(compose.session, listed, flags)
    return 0


def stats(compose: Compose, args: list[str]) -> int:
    """`wharf stats` of the project's containers."""
    flags, names = STATS.parse(args)
    from wharf.cli.stats import stats as wharf_stats
    from wharf.compose import labels

    found = containers_of(compose, names, all=bool(flags.get("all")), known=False)
    words = [f"--{name}" for name in ("all", "no-stream", "no-trunc") if flags.get(name)]
    words += [f"--format={flags['format']}"] if flags.get("format") else []
    if not found:
        return 0
    return wharf_stats(compose.session, [*words, *(labels.name_of(item) for item in found)])


def events(compose: Compose, args: list[str]) -> int:
    """The project's container events as they come."""
    flags, names = EVENTS.parse(args)
    from wharf.client import jsontext
    from wharf.client.api import query
    from wharf.compose import labels

    client = compose.engine().client
    parameters = {"filters": {**labels.filters(compose.name()), "type": ["container"]}}
    for field in ("since", "until"):
        if flags.get(field):
            parameters[field] = units.timestamp(flags[field])  # type: ignore[assignment]
    for event in client.lines(client.request("GET", "/events" + query(parameters))):
        actor = event.get("Actor") or {}
        attributes = dict(actor.get("Attributes") or {})
        service = attributes.get(labels.SERVICE, "")
        if names and service not in names:
            continue
        shown = {key: value for key, value in attributes.items() if not key.startswith(labels.PREFIX)}
        nanoseconds = int(event.get("timeNano") or 0)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(nanoseconds // 10**9))
        if flags.get("json"):
            compose.session.line(jsontext.dumps({
                "action": event.get("Action"), "attributes": shown, "id": actor.get("ID"), "service": service,
                "time": stamp.replace(" ", "T") + f".{nanoseconds % 10**9:09d}Z", "type": "container",
            }))  # fmt: skip
        else:
            words = ", ".join(f"{key}={shown[key]}" for key in sorted(shown))
            compose.session.line(f"{stamp}.{nanoseconds % 10**9 // 1000:06d} container {event.get('Action')} "
                                 f"{actor.get('ID')} ({words})")  # fmt: skip
        _flush()
    return 0


def _flush() -> None:
    import sys

    sys.stdout.flush()
