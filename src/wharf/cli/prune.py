"""Prune of containers, images and volumes, and of all that, networks and build cache at once."""

from __future__ import annotations

import sys

from wharf.cli.flags import Command, Flag
from wharf.cli.listing import add_filters, filter_flag
from wharf.cli.session import ExitWith, Session
from wharf.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORCE: Flag = ("force", "f", "bool", "Do not prompt for confirmation")
_FILTER: Flag = ("filter", "", "list:filter", "Provide filter values (e.g. 'until=<timestamp>')")


def _command(kind: str, summary: str, flags: tuple[Flag, ...]) -> Command:
    return Command(
        f"{kind} prune", "[OPTIONS]", summary, flags, checks={"filter": filter_flag}, example=f"wharf {kind} prune -f"
    )


def container_prune(session: Session, args: list[str]) -> int:
    """Removes stopped containers."""
    flags, _ = _command("container", "Remove all stopped containers", (_FORCE, _FILTER)).parse(args)
    if not confirmed(session, flags, "This will remove all stopped containers."):
        return 0
    answer = session.client().post("/containers/prune", filters=add_filters(flags.get("filter", [])))
    return report(session, "Deleted Containers:", answer.get("ContainersDeleted") or [], answer)


def image_prune(session: Session, args: list[str]) -> int:
    """Removes images that no name leads to; with -a all that no container uses."""
    every: Flag = ("all", "a", "bool", "Remove all unused images, not just dangling ones")
    size: Flag = ("max-size", "", "string", "Remove what was not used for longest until the rest is no larger")
    idle: Flag = ("unused-for", "", "string", "Remove what no container has used for so long")
    flags, _ = _command("image", "Remove unused images", (every, _FORCE, _FILTER, size, idle)).parse(args)
    whole = flags.get("all", False) or bool(flags.get("max-size") or flags.get("unused-for"))
    warning = "This will remove all images without at least one container associated to them."
    if not confirmed(session, flags, warning if whole else "This will remove all dangling images."):
        return 0
    filters = {**(add_filters(flags.get("filter", [])) or {}), "dangling": {"false" if whole else "true": True}}
    filters |= {name: {str(flags[name]): True} for name in ("max-size", "unused-for") if flags.get(name)}
    answer = session.client().post("/images/prune", filters=filters)
    lines = [_image_line(item) for item in answer.get("ImagesDeleted") or []]
    return report(session, "Deleted Images:", lines, answer)


def volume_prune(session: Session, args: list[str]) -> int:
    """Removes anonymous volumes that no container uses; with -a named ones too."""
    every: Flag = ("all", "a", "bool", "Remove all unused volumes, not just anonymous ones")
    flags, _ = _command("volume", "Remove unused local volumes", (every, _FORCE, _FILTER)).parse(args)
    whole = flags.get("all", False)
    what = "local volumes" if whole else "anonymous local volumes"
    if not confirmed(session, flags, f"This will remove {what} not used by at least one container."):
        return 0
    filters = {**(add_filters(flags.get("filter", [])) or {}), **({"all": {"true": True}} if whole else {})}
    answer = session.client().post("/volumes/prune", filters=filters or None)
    return report(session, "Deleted Volumes:", answer.get("VolumesDeleted") or [], answer)


SYSTEM = Command(
    "system prune",
    "[OPTIONS]",
    "Remove unused data",
    (
        ("all", "a", "bool", "Remove all unused images not just dangling ones"),
        ("filter", "", "list:filter", "Provide filter values (e.g. 'label=<key>=<value>')"),
        _FORCE,
        ("volumes", "", "bool", "Prune anonymous volumes"),
    ),
    checks={"filter": filter_flag},
    example="wharf system prune -f --filter until=24h",
)


def system_prune(session: Session, args: list[str]) -> int:
    """Removes stopped containers, unused networks, images, build cache and, when asked, anonymous volumes."""
    flags, _ = SYSTEM.parse(args)
    whole, volumes = flags.get("all", False), flags.get("volumes", False)
    given = flags.get("filter", [])
    if volumes and any(text.partition("=")[0] == "until" for text in given):
        raise ExitWith('ERROR: The "until" filter is not supported with "--volumes"')
    kinds = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(["all anonymous volumes not used by at least one container"] if volumes else []),
        "all images without at least one container associated to them" if whole else "all dangling images",
        "all build cache" if whole else "unused build cache",
    ]
    warning = "This will remove:\n" + "".join(f"  - {kind}\n" for kind in kinds)
    if given:
        warning += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {text}\n" for text in given)
    if not confirmed(session, flags, warning):
        return 0
    client, filters = session.client(), add_filters(given)
    answers = [
        ("Deleted Containers:", client.post("/containers/prune", filters=filters), "ContainersDeleted"),
        ("Deleted Networks:", client.post("/networks/prune", filters=filters), "NetworksDeleted"),
    ]
    if volumes:
        answers.append(("Deleted Volumes:", client.post("/volumes/prune", filters=filters), "VolumesDeleted"))
    images = {**(filters or {}), "dangling": {"false" if whole else "true": True}}
    answers.append(("Deleted Images:", client.post("/images/prune", filters=images), "ImagesDeleted"))
    # Its own filters are others: labels mean nothing to a cache, "until" does.
    until = add_filters([text for text in given if text.startswith("until=")])
    builds = client.post("/build/prune", all=whole, filters=until)
    answers.append(("Deleted build cache objects:", builds, "CachesDeleted"))
    total = 0
    for title, answer, key in answers:
        total += answer.get("SpaceReclaimed") or 0
        if lines := [_image_line(item) for item in answer.get(key) or []]:
            session.write("\n".join([title, *lines]) + "\n\n")
    session.line(f"Total reclaimed space: {human_size(total)}")
    return 0


def _image_line(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"deleted: {item['Deleted']}" if item.get("Deleted") else f"untagged: {item['Untagged']}"


def confirmed(session: Session, flags: dict[str, object], warning: str) -> bool:
    """Whether a person agrees, or said so with --force."""
    if flags.get("force"):
        return True
    session.write(f"WARNING! {warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def report(session: Session, title: str, lines: list[str], answer: dict[str, int]) -> int:
    """What was removed, and how much space that gave."""
    if lines:
        session.write("\n".join([title, *lines]) + "\n\n")
    session.line(f"Total reclaimed space: {human_size(answer.get('SpaceReclaimed', 0))}")
    return 0
