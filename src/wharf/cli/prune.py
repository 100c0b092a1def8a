"""Prune of containers, images and volumes."""

import sys

from wharf.cli.flags import Command, Flag
from wharf.cli.listing import add_filters, filter_flag
from wharf.cli.session import Session
from wharf.cli.units import human_size

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
    lines = [
        f"deleted: {item['Deleted']}" if item.get("Deleted") else f"untagged: {item['Untagged']}"
        for item in answer.get("ImagesDeleted") or []
    ]
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
