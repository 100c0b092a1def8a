"""Other programs' packet filters: do they drop what containers send or get, what helps, and helping where asked to.

An accept of ours cannot overrule a drop of theirs: every base chain of the forward hook must accept.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wharf.errors import WharfError
from wharf.kernel import nft
from wharf.network.names import Names

_FAMILIES = ("ip", "ip6", "inet")


@dataclass(frozen=True, slots=True)
class Blocker:
    """A base chain on the forward hook that drops what nothing before accepted; `entry`: the chain where an accept
    belongs, which DOCKER-USER is if there is one."""

    family: str
    table: str
    name: str
    entry: str
    by_policy: bool

    @property
    def is_iptables(self) -> bool:
        return self.table == "filter" and self.name == "FORWARD" and self.family in ("ip", "ip6")

    def describe(self) -> str:
        return f"{self.family} {self.table} {self.name}"


def blockers(listing: Sequence[dict[str, Any]], own_table: str) -> list[Blocker]:
    """The chains of others that drop forwarded packets: by policy, or by a last rule that drops or rejects all.
    `listing` is nft.listing()'s."""
    chains = [item["chain"] for item in listing if "chain" in item]
    rules: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in listing:
        if rule := item.get("rule"):
            rules[rule.get("family", ""), rule.get("table", ""), rule.get("chain", "")] = rule
    found = []
    for chain in chains:
        where = (chain.get("family", ""), chain.get("table", ""), chain.get("name", ""))
        if chain.get("hook") != "forward" or where[0] not in _FAMILIES or where[1] == own_table:
            continue
        by_policy = chain.get("policy") == "drop"
        if by_policy or _drops_all(rules.get(where, {})):
            user = any((c.get("family"), c.get("table"), c.get("name")) == (*where[:2], "DOCKER-USER") for c in chains)
            found.append(Blocker(*where, entry="DOCKER-USER" if user else where[2], by_policy=by_policy))
    return found


def _drops_all(rule: dict[str, Any]) -> bool:
    words = [word for word in rule.get("expr", []) if not {"counter", "log", "comment"} & word.keys()]
    return len(words) == 1 and bool({"drop", "reject"} & words[0].keys())


def lets_through(listing: Sequence[dict[str, Any]], blocker: Blocker, bridge: str) -> bool:
    """True if rules of the blocker's table accept the packets of our bridge by name: the advice was followed."""
    for item in listing:
        rule = item.get("rule", {})
        if (rule.get("family"), rule.get("table")) == (blocker.family, blocker.table):
            words = rule.get("expr", [])
            matches = any(word.get("match", {}).get("right") == bridge for word in words)
            if matches and any("accept" in word for word in words):
                return True
    return False


def foreign_drops(listing: Sequence[dict[str, Any]], names: Names, bridge: str = "", ipv6: bool = False) -> list[str]:
    """Warnings about chains of others that drop what containers of a bridge send or get."""
    bridge = bridge or names.bridge
    warnings = []
    for blocker in blockers(listing, names.table):
        if (blocker.family == "ip6" and not ipv6) or lets_through(listing, blocker, bridge):
            continue
        if blocker.is_iptables:
            program = "ip6tables" if blocker.family == "ip6" else "iptables"
            advice = [f"{program} -I {blocker.entry} -{side} {bridge} -j ACCEPT" for side in "io"]
        else:
            advice = [f"nft insert rule {blocker.describe()} {side}ifname {bridge} accept" for side in "io"]
        warnings.append(_warning(blocker.describe(), bridge, advice, blocker.by_policy))
    return warnings


def legacy_drop(names: Names) -> str:
    """The same warning for the older iptables, whose rules nft does not show."""
    advice = [f"iptables-legacy -I FORWARD -{side} {names.bridge} -j ACCEPT" for side in "io"]
    return _warning("FORWARD of iptables-legacy", names.bridge, advice, by_policy=True)


def _warning(where: str, bridge: str, advice: list[str], by_policy: bool) -> str:
    how = "by policy" if by_policy else "by its last rule"
    return (
        f"the firewall chain {where} drops forwarded packets {how}, so containers on {bridge} may have no network and "
        f'their published ports may not answer; to let them through set "forward-accept" in daemon.json, or: '
        f"{'; '.join(advice)}"
    )


class ForwardAccept:
    """One pair of accept rules a bridge in the chains of others that would drop its packets; ours by their comment.

    Written as iptables itself would write them, so that its listings go on working.
    """

    def __init__(self, names: Names) -> None:
        self._names, self._comment = names, f"{names.table}: forward-accept"

    def apply(self, bridges: Iterable[str]) -> list[str]:
        """Let the packets of exactly these bridges through; returns what was done, a line each. Raises Unavailable."""
        listing = nft.listing()
        wanted, said, lines = list(bridges), list[str](), self._deletions(listing)
        for blocker in blockers(listing, self._names.table):
            for bridge in wanted:
                where = f"{blocker.family} {blocker.table} {blocker.entry}"
                rule = f'ifname "{bridge}" counter accept comment "{self._comment}"'
                lines += [f"insert rule {where} {side}{rule}" for side in "oi"]
            if wanted:
                said.append(f"let packets of {', '.join(wanted)} pass {blocker.describe()} (forward-accept)")
        if lines:
            nft.load("\n".join(lines) + "\n")
        return said

    def remove(self) -> None:
        """Take our rules away; never raises."""
        with contextlib.suppress(WharfError, ValueError):
            if lines := self._deletions(nft.listing()):
                nft.load("\n".join(lines) + "\n")

    def _deletions(self, listing: Sequence[dict[str, Any]]) -> list[str]:
        rules = [item["rule"] for item in listing if item.get("rule", {}).get("comment") == self._comment]
        return [f"delete rule {r['family']} {r['table']} {r['chain']} handle {r['handle']}" for r in rules]
