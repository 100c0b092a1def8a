"""What an instance's network is opened with, and what is asked of one endpoint."""

from dataclasses import dataclass

from wharf.network.live import Wanted
from wharf.spec.network import AddressPool, DefaultBridge


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Settings of one instance; `instance` is names.instance_id(data_root)."""

    instance: str
    bip: str = ""
    default_pools: tuple[AddressPool, ...] = ()
    mtu: int = 1500
    """Of the default bridge."""
    ip_forward: bool = True
    seed: bytes = bytes(20)
    """A digest that only this instance has: its IPv6 subnets come from it."""
    icc: bool = True
    """Containers of the default bridge may talk to one another; else by links and published ports alone."""
    publish: str = ""
    """The host address of `-p` without one, where the network names none; "" is every address."""
    default: DefaultBridge = DefaultBridge()
    """What else is asked of the default bridge."""
    forward_accept: bool = False
    """Let containers' packets through other programs' packet filters."""


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What an endpoint is to be. `interface` "" means the next free name beside `taken`, those of the sandbox's other
    endpoints; `mac` "" a random one."""

    sandbox_id: str
    mac: str = ""
    wanted: Wanted = Wanted()
    names: tuple[str, ...] = ()
    priority: int = 0
    interface: str = ""
    taken: tuple[str, ...] = ()
