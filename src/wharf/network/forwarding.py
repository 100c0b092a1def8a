"""Forwarding of packets: the one setting of the host that containers need changed.

IPv4's is switched on at start, IPv6's with the first network that has IPv6. A host that takes its IPv6 routes from
router advertisements would lose them then: the kernel listens to routers while forwarding only where accept_ra is 2,
so that is set first wherever it was 1 (Documentation/networking/ip-sysctl.rst).
"""

from collections.abc import Callable
from pathlib import Path

from wharf.errors import Unavailable
from wharf.network.bridge import read_sysctl, write_sysctl
from wharf.spec.network import BridgeFacts

IPV4, IPV6 = "ipv4/ip_forward", "ipv6/conf/all/forwarding"
DISABLED = "IPv4 forwarding is disabled. Networking will not work."
_CONF6 = Path("/proc/sys/net/ipv6/conf")


def forwards_ipv4() -> bool:
    """Whether this host forwards IPv4 packets now."""
    return read_sysctl(IPV4) == "1"


class Forwarding:
    """`allowed` False (`--ip-forward=false`): the host's settings stay, and what needs them changed is refused."""

    def __init__(self, allowed: bool, say: Callable[[str], None]) -> None:
        self._allowed, self._say = allowed, say

    def at_start(self) -> str:
        """Switch IPv4 on; what `info` should warn of, or "". Raises OSError."""
        if self._allowed:
            if write_sysctl(IPV4, "1"):
                self._say("switched on forwarding of IPv4 packets (net.ipv4.ip_forward)")
            return ""
        return "" if forwards_ipv4() else DISABLED

    def need(self, facts: BridgeFacts) -> None:
        """See that a network's packets are forwarded; raises Unavailable with the setting that is missing."""
        if facts.internal:
            return
        for gateway, name, family in ((facts.gateway4, IPV4, "IPv4"), (facts.gateway6, IPV6, "IPv6")):
            if gateway is None or read_sysctl(name) == "1":
                continue
            setting = "net." + name.replace("/", ".")
            if not self._allowed:
                raise Unavailable(
                    f"network {facts.name} needs forwarding of {family} packets, which is off on this host ({setting}) "
                    "and which --ip-forward=false keeps off: switch it on, or make the network internal"
                )
            try:
                if name == IPV6:
                    self._keep_routes()
                write_sysctl(name, "1")
            except OSError as error:
                raise Unavailable(f"cannot switch on forwarding of {family} packets ({setting}): {error}") from error
            self._say(f"switched on forwarding of {family} packets ({setting})")

    def _keep_routes(self) -> None:
        for path in sorted(_CONF6.iterdir()):
            name = f"ipv6/conf/{path.name}/accept_ra"
            if path.name != "all" and read_sysctl(name) == "1" and write_sysctl(name, "2"):
                self._say(f"set net.ipv6.conf.{path.name}.accept_ra to 2, or the host would lose its IPv6 routes")
