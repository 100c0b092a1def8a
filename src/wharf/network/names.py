"""Names of host objects. Each carries the instance, so that two daemons never touch each other's."""

import hashlib
import os
from dataclasses import dataclass

DEFAULT_DATA_ROOT = "/var/lib/wharf"
_INSTANCE_DIGITS = 6


def instance_id(data_root: str) -> str:
    """ "" for the default data root, else six hexadecimal digits of its real path's digest."""
    path = os.path.realpath(data_root)
    if path == DEFAULT_DATA_ROOT:
        return ""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:_INSTANCE_DIGITS]


@dataclass(frozen=True, slots=True)
class Names:
    """Host names of one instance's objects; interface names hold at most 15 characters (IFNAMSIZ)."""

    instance: str

    @property
    def bridge(self) -> str:
        return f"wharf0-{self.instance}" if self.instance else "wharf0"

    @property
    def table(self) -> str:
        return f"wharf-{self.instance}" if self.instance else "wharf"

    def user_bridge(self, network_id: str) -> str:
        """A user-defined network's bridge, named as Docker names them; ids are random, so no two instances meet."""
        return f"br-{network_id[:12]}"

    def mark(self, network_id: str) -> str:
        """The alias (`ip link` shows it) of what was made on the host for a network: by it, not by the name, a later
        start knows what is its own to remove."""
        return f"{self.table}:{network_id}"

    def marked(self, alias: str) -> str:
        """The network that a mark of this instance names, else ""."""
        head, colon, network_id = alias.partition(":")
        return network_id if colon and head == self.table else ""

    @property
    def veth_prefix(self) -> str:
        """Own veths begin with it and no other instance's do."""
        return f"w{self.instance}-" if self.instance else "wv-"

    def veth(self, endpoint_id: str) -> str:
        """The host end's name. Endpoint ids are fresh at every start, so a name whose veth is still dying with its
        network namespace is never wanted again."""
        return self.veth_prefix + endpoint_id[: 15 - len(self.veth_prefix)]
