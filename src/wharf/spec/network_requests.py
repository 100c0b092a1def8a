"""What a client asks of networks, as it comes over the wire; field names are Docker's in snake case."""

from dataclasses import dataclass, field

from wharf.spec.container import EndpointSettings, named
from wharf.spec.network import ConfigReference, Ipam


@dataclass(slots=True)
class NetworkCreate:
    """The body of POST /networks/create. None for the address families means that the daemon decides."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = named("EnableIPv4", None)
    enable_ipv6: bool | None = named("EnableIPv6", None)
    ipam: Ipam | None = named("IPAM", None)
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


@dataclass(slots=True)
class NetworkConnect:
    """The body of POST /networks/{id}/connect."""

    container: str = ""
    endpoint_config: EndpointSettings = field(default_factory=EndpointSettings)


@dataclass(slots=True)
class NetworkDisconnect:
    """The body of POST /networks/{id}/disconnect."""

    container: str = ""
    force: bool = False
