"""IPAM configurations of a network: from text to checked values."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from wharf.errors import Denied, Invalid, Unavailable
from wharf.network.ipam import IN_USE, Address, AddressSpace, Network, first_address
from wharf.spec.network import IpamConfig

MAX_SUBNETS = 64
MAX_AUXILIARY = 4096
OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet of a network: what is given out of it (`within`, else all), and what is not."""

    network: Network
    gateway: Address
    within: Network | None = None
    auxiliary: tuple[tuple[str, Address], ...] = ()
    static: bool = True
    """The user chose it: wanted addresses are accepted."""

    def space(self) -> AddressSpace:
        """A fresh address space with gateway and auxiliary addresses taken; raises Denied if they collide."""
        space = AddressSpace(self.network, None, self.within)
        try:
            space.claim(self.gateway)
        except Invalid as error:
            raise Denied(f"failed to allocate gateway ({self.gateway}): {error.message}") from None
        for name, address in self.auxiliary:
            try:
                space.claim(address)
            except Invalid:
                raise Denied(f"failed to allocate secondary ip address ({name}:{address}): {IN_USE}") from None
        return space


def parse_subnets(configs: Sequence[IpamConfig]) -> list[Subnet]:
    """Checked subnets, in the order given; a gateway that is not named is the first address. Raises Invalid with all
    that is wrong, in Docker's words."""
    if len(configs) > MAX_SUBNETS:
        raise Invalid(f"invalid network config:\ntoo many subnets: {len(configs)}, the limit is {MAX_SUBNETS}")
    errors: list[str] = []
    found = [subnet for config in configs if config.subnet and (subnet := _parse(config, errors)) is not None]
    if any(config.ip_range or config.gateway or config.auxiliary_addresses for config in configs if not config.subnet):
        errors.append("invalid subnet : invalid CIDR block notation")
    if errors:
        raise Invalid("invalid network config:\n" + "\n".join(errors if len(errors) == 1 else _listed(errors)))
    for index, subnet in enumerate(found):
        if any(subnet.network.overlaps(other.network) for other in found[:index] if _same(subnet, other)):
            raise Denied(OVERLAP)
    return found


def _same(one: Subnet, other: Subnet) -> bool:
    return one.network.version == other.network.version


def _listed(errors: list[str]) -> list[str]:
    return [f"* {error}" for error in errors]


def _parse(config: IpamConfig, errors: list[str]) -> Subnet | None:
    before = len(errors)
    network = _network("subnet", config.subnet, errors)
    if network is None:
        return None
    within = _range(config.ip_range, network, errors) if config.ip_range else None
    gateway = _address("gateway", config.gateway, network, errors) if config.gateway else None
    auxiliary: list[tuple[str, Address]] = []
    names = sorted(config.auxiliary_addresses or {})
    if len(names) > MAX_AUXILIARY:
        errors.append(f"too many auxiliary addresses: {len(names)}, the limit is {MAX_AUXILIARY}")
        return None
    for name in names:
        address = _address("auxiliary address", (config.auxiliary_addresses or {})[name], network, errors)
        if address is not None:
            auxiliary.append((name, address))
    if len(errors) > before:
        return None
    try:
        gateway = gateway or first_address(network, within)
    except Unavailable:
        raise Denied("failed to allocate gateway (): no available addresses on this pool") from None
    return Subnet(network, gateway, within, tuple(auxiliary))


def _network(what: str, text: str, errors: list[str]) -> Network | None:
    try:
        if "/" not in text:
            raise ValueError(text)
        interface = ipaddress.ip_interface(text)
    except ValueError:
        errors.append(f"invalid {what} {text[:80]}: invalid CIDR block notation")
        return None
    if "." in text.rpartition("/")[2] or "%" in text:  # a netmask, a zone: Python takes them, Go does not
        errors.append(f"invalid {what} {text[:80]}: invalid CIDR block notation")
        return None
    if interface.ip != interface.network.network_address:
        errors.append(f"invalid {what} {text[:80]}: it should be {interface.network}")
        return None
    return interface.network


def _range(text: str, parent: Network, errors: list[str]) -> Network | None:
    network = _network("ip-range", text, errors)
    if network is None:
        bigger = _masked(text)
        if bigger is not None and bigger.version == parent.version and bigger.prefixlen < parent.prefixlen:
            errors[-1] = f"invalid ip-range {text[:80]}: CIDR block is bigger than its parent subnet {parent}"
        return None
    if network.version != parent.version:
        errors.append(f"invalid ip-range {text[:80]}: parent subnet is an IPv{parent.version} block")
    elif network.prefixlen < parent.prefixlen:
        errors.append(f"invalid ip-range {text[:80]}: CIDR block is bigger than its parent subnet {parent}")
    elif not parent.overlaps(network):
        errors.append(f"invalid ip-range {text[:80]}: parent subnet {parent} doesn't contain ip-range")
    else:
        return network
    return None


def _masked(text: str) -> Network | None:
    try:
        return ipaddress.ip_interface(text).network
    except ValueError:
        return None


def _address(what: str, text: str, parent: Network, errors: list[str]) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        errors.append(f"invalid {what} {text[:80]}: invalid address")
        return None
    if address.version != parent.version:
        errors.append(f"invalid {what} {text[:80]}: parent subnet is an IPv{parent.version} block")
    elif address not in parent:
        errors.append(f"invalid {what} {text[:80]}: parent subnet {parent} doesn't contain this address")
    else:
        return address
    return None
