"""Plugins: there are none, and the server's own words say so."""

from __future__ import annotations

from wharf.cli.flags import ANY, Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session
from wharf.client.api import quote

LS = Command(
    "plugin ls",
    "[OPTIONS]",
    "List plugins",
    (
        ("filter", "f", "list:filter", "Provide filter values (e.g. 'enabled=true')"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("no-trunc", "", "bool", "Don't truncate output"),
        ("quiet", "q", "bool", "Only display plugin IDs"),
    ),
    checks={"filter": filter_flag},
    example="wharf plugin ls --filter enabled=true",
    aliases="wharf plugin ls, wharf plugin list",
)
INSPECT = Command(
    "plugin inspect",
    "[OPTIONS] PLUGIN [PLUGIN...]",
    "Display detailed information on one or more plugins",
    (("format", "f", "string", "'json' or a Go template"),),
    operands=(1, ANY),
    example="wharf plugin inspect NAME",
)
RM = Command(
    "plugin rm",
    "[OPTIONS] PLUGIN [PLUGIN...]",
    "Remove one or more plugins",
    (("force", "f", "bool", "Force the removal of an active plugin"),),
    operands=(1, ANY),
    example="wharf plugin rm NAME",
    aliases="wharf plugin rm, wharf plugin remove",
)
ENABLE = Command(
    "plugin enable",
    "[OPTIONS] PLUGIN",
    "Enable a plugin",
    (("timeout", "", "int", "HTTP client timeout (in seconds)"),),
    operands=(1, 1),
    example="wharf plugin enable NAME",
)
DISABLE = Command(
    "plugin disable",
    "[OPTIONS] PLUGIN",
    "Disable a plugin",
    (("force", "f", "bool", "Force the disable of an active plugin"),),
    operands=(1, 1),
    example="wharf plugin disable NAME",
)
_HEADERS = {
    "ID": "ID", "Name": "NAME", "Description": "DESCRIPTION", "Enabled": "ENABLED",
    "PluginReference": "PLUGIN REFERENCE",
}  # fmt: skip


def ls(session: Session, args: list[str]) -> int:
    """Lists what the server has."""
    flags, _ = LS.parse(args)
    found = session.client().get("/plugins", filters=add_filters(flags.get("filter", []))) or []
    rows = [
        {
            "ID": plugin["Id"] if flags.get("no-trunc") else plugin["Id"][:12],
            "Name": plugin["Name"],
            "Description": plugin["Config"]["Description"],
            "Enabled": plugin["Enabled"],
            "PluginReference": plugin.get("PluginReference", ""),
        }
        for plugin in found
    ]
    columns = [Column(field, _HEADERS[field]) for field in ("ID", "Name", "Description", "Enabled")]
    show(session, Listing(columns, _HEADERS, "ID"), rows, flags.get("format", ""), quiet=flags.get("quiet", False))
    return 0


def inspect(session: Session, args: list[str]) -> int:
    """Asks the server for each."""
    flags, names = INSPECT.parse(args)
    from wharf.client import jsontext

    found: list[object] = []
    status = session.each(names, lambda name: found.append(session.client().get(f"/plugins/{quote(name)}/json")), False)
    session.line(jsontext.dumps(found) if flags.get("format") == "json" else jsontext.indented(found))
    return status


def rm(session: Session, args: list[str]) -> int:
    """Asks the server to remove each."""
    flags, names = RM.parse(args)
    force = flags.get("force")
    return session.each(names, lambda name: session.client().delete(f"/plugins/{quote(name)}", force=force))


def enable(session: Session, args: list[str]) -> int:
    """Asks the server to enable one."""
    flags, names = ENABLE.parse(args)
    path = f"/plugins/{quote(names[0])}/enable"
    return session.each(names, lambda name: session.client().post(path, timeout=flags.get("timeout", 30)))


def disable(session: Session, args: list[str]) -> int:
    """Asks the server to disable one."""
    flags, names = DISABLE.parse(args)
    path = f"/plugins/{quote(names[0])}/disable"
    return session.each(names, lambda name: session.client().post(path, force=flags.get("force")))
