"""`wharf builder`: the build cache, listed and pruned."""

from wharf.cli.flags import Command, Flag
from wharf.cli.listing import add_filters, filter_flag
from wharf.cli.prune import confirmed, report
from wharf.cli.session import Session
from wharf.cli.units import human_size

_FLAGS: tuple[Flag, ...] = (
    ("all", "a", "bool", "Remove all unused build cache, not just dangling ones"),
    ("filter", "", "list:filter", 'Provide filter values (e.g. "until=24h", "type=exec.cachemount")'),
    ("force", "f", "bool", "Do not prompt for confirmation"),
    ("keep-storage", "", "bytes", "Amount of disk space to keep for cache (now --reserved-space)"),
    ("max-used-space", "", "bytes", "Maximum amount of disk space allowed to keep for cache"),
    ("min-free-space", "", "bytes", "Target amount of free disk space after pruning"),
    ("reserved-space", "", "bytes", "Amount of disk space always allowed to keep for cache"),
)
PRUNE = Command(
    "builder prune",
    "[OPTIONS]",
    "Remove build cache",
    _FLAGS,
    checks={"filter": filter_flag},
    example="wharf builder prune -f --filter until=24h",
)
LS = Command(
    "builder ls", "[OPTIONS]", "List the build cache", (), example="wharf builder ls", aliases="wharf builder ls"
)


def prune(session: Session, args: list[str]) -> int:
    """Removes what builds kept and nothing uses; with -a what images share too."""
    flags, _ = PRUNE.parse(args)
    what = "all build cache" if flags.get("all") else "all dangling build cache"
    if not confirmed(session, flags, f"This will remove {what}."):
        return 0
    parameters = {
        "all": flags.get("all"),
        "filters": add_filters(flags.get("filter", [])),
        "reserved-space": flags.get("reserved-space") or flags.get("keep-storage"),
        "max-used-space": flags.get("max-used-space"),
        "min-free-space": flags.get("min-free-space"),
    }
    answer = session.client().post("/build/prune", **parameters)
    return report(session, "Deleted build cache objects:", answer.get("CachesDeleted") or [], answer)


def entries(session: Session, args: list[str]) -> int:
    """Lists what builds kept: id, type, size, how often it was used, what made it."""
    LS.parse(args)
    found = session.client().get("/system/df", type="build-cache").get("BuildCache") or []
    lines = [["ID", "TYPE", "SIZE", "USED", "SHARED", "DESCRIPTION"]]
    for entry in sorted(found, key=lambda item: str(item["LastUsedAt"])):
        shared = "yes" if entry["Shared"] else "no"
        size, uses = human_size(entry["Size"]), str(entry["UsageCount"])
        lines.append([entry["ID"][:12], entry["Type"], size, uses, shared, entry["Description"][:80]])
    widths = [max(len(line[at]) for line in lines) for at in range(5)]
    for line in lines:
        session.line("  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[5]]))
    return 0
