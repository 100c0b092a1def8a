"""`wharf system check`: what records and host say differently."""

from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.cli.table import align
from wharf.client import jsontext

COMMAND = Command(
    "system check",
    "[OPTIONS]",
    "Name what is inconsistent: files, snapshots, blobs, volumes, cgroups, mounts, links, ports",
    (
        ("format", "", "string", "'table' (the default) or 'json'"),
        ("repair", "", "bool", "Mend what can be mended without a loss"),
    ),
    operands=(0, 0),
    example="wharf system check --repair",
)


def check(session: Session, args: list[str]) -> int:
    """Shows the findings; 1 when there are any, also those that were mended."""
    flags, _ = COMMAND.parse(args)
    form = flags.get("format") or "table"
    if form not in ("table", "json"):
        raise ExitWith(f"cannot show findings as '{form}': give table or json")
    client = session.client()
    client.require_wharf("system check")
    path = "/wharf/v1/system/check"
    findings = (client.post(path) if flags.get("repair") else client.get(path))["Findings"]
    if form == "json":
        session.line(jsontext.dumps(findings))
    elif not findings:
        session.line("nothing is inconsistent")
    else:
        rows = [[item["Kind"], item["Object"], item["Problem"], _outcome(item)] for item in findings]
        session.write(align([["KIND", "OBJECT", "PROBLEM", "OUTCOME"], *rows]))
    return 1 if findings else 0


def _outcome(item: dict[str, object]) -> str:
    if item["Repaired"]:
        return "repaired"
    return "can be repaired" if item["Safe"] else "needs a person"
