"""Whole rule sets through the `nft` command: used once, at start."""

import json
import shutil
import subprocess
from typing import Any

from wharf.errors import Unavailable

_NFT_SECONDS = 30
_SEARCHED = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
_LEGACY_TABLES = "/proc/net/ip_tables_names"


def load(ruleset: str) -> None:
    """Apply a rule set as one transaction (`nft -f -`); raises Unavailable with nft's words."""
    _nft(["-f", "-"], ruleset)


def listing() -> list[dict[str, Any]]:
    """`nft -j list ruleset`: all tables, chains and rules of this network namespace (libnftables-json(5))."""
    output = _nft(["-j", "list", "ruleset"], "")
    parsed = json.loads(output) if output.strip() else {}
    objects = parsed.get("nftables", [])
    return [item for item in objects if isinstance(item, dict)]


def table(name: str) -> list[dict[str, Any]]:
    """All objects of an inet table as libnftables-json(5) has them; none when there is no such table."""
    try:
        parsed = json.loads(_nft(["-j", "list", "table", "inet", name], ""))
    except Unavailable:
        if name in table_names():
            raise
        return []
    return [item for item in parsed.get("nftables", []) if isinstance(item, dict)]


def table_names() -> list[str]:
    """The names of the inet tables that are there."""
    parsed = json.loads(_nft(["-j", "list", "tables", "inet"], ""))
    return [item["table"]["name"] for item in parsed.get("nftables", []) if "table" in item]


def legacy_forward_policy() -> str:
    """The policy of FORWARD in the older iptables' filter table, "" where that table is not in use."""
    try:
        with open(_LEGACY_TABLES) as tables:
            used = "filter" in tables.read().split()
    except OSError:
        return ""
    program = shutil.which("iptables-legacy", path=_SEARCHED)
    if not used or program is None:
        return ""
    try:
        arguments = [program, "-w", "5", "-S", "FORWARD"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=_NFT_SECONDS)
    except subprocess.TimeoutExpired:
        return ""
    first = done.stdout.split("\n", 1)[0].split()
    return first[2] if first[:2] == ["-P", "FORWARD"] else ""


def _nft(arguments: list[str], text: str) -> str:
    program = shutil.which("nft", path=_SEARCHED)
    if program is None:
        raise Unavailable("the nft command is not installed; install the package nftables")
    try:
        done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=_NFT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"nft {' '.join(arguments)} did not end within {_NFT_SECONDS} s") from error
    if done.returncode:
        raise Unavailable(f"nft {' '.join(arguments)} failed: {done.stderr.strip()[:2000]}")
    return done.stdout
