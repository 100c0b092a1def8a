"""Whole rule sets through the `nft` command: used once, at start."""

import json
import shutil
import subprocess
from typing import Any

from wharf.errors import Unavailable

_NFT_SECONDS = 30


def load(ruleset: str) -> None:
    """Apply a rule set as one transaction (`nft -f -`); raises Unavailable with nft's words."""
    _nft(["-f", "-"], ruleset)


def listing() -> list[dict[str, Any]]:
    """`nft -j list ruleset`: all tables, chains and rules of this network namespace (libnftables-json(5))."""
    output = _nft(["-j", "list", "ruleset"], "")
    parsed = json.loads(output) if output.strip() else {}
    objects = parsed.get("nftables", [])
    return [item for item in objects if isinstance(item, dict)]


def _nft(arguments: list[str], text: str) -> str:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin")
    if program is None:
        raise Unavailable("the nft command is not installed; install the package nftables")
    try:
        done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, timeout=_NFT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"nft {' '.join(arguments)} did not end within {_NFT_SECONDS} s") from error
    if done.returncode:
        raise Unavailable(f"nft {' '.join(arguments)} failed: {done.stderr.strip()[:2000]}")
    return done.stdout
