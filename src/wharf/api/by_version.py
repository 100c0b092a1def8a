"""What create and update requests of older versions of the API mean: changed to what the newest would say.

The rules and their order are those of moby's `postContainersCreate` and `postContainerUpdate`
(api/server/router/container/container_routes.go). Nothing but the request is looked at or changed.
"""

from collections.abc import Iterator

from wharf.errors import Internal, Invalid
from wharf.network.options import ENDPOINT_SYSCTLS
from wharf.spec.container import CreateRequest, EndpointSettings, HostConfig, MountRequest

Version = tuple[int, int]

_MAC_CONFLICT = "conflicting options: mac-address and the network mode"
_MAC_DEPRECATED = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)
_MAC_MISMATCH = (
    "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"
)
_NO_MAIN_ENDPOINT = "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks"
_DRIVER_IGNORED = (
    "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. Use "
    "'--mount type=volume,volume-driver=...' instead"
)


def create_by_version(request: CreateRequest, version: Version, cgroup2: bool) -> list[str]:
    """Change a create request to what it means at `version`; returns warnings. `cgroup2`: this host has v2 alone.

    Raises Invalid, or Internal where Docker answers 500, for what that version has not.
    """
    host = request.host_config
    endpoints = request.networking_config.endpoints_config = request.networking_config.endpoints_config or {}
    if host.network_mode in ("", "default"):
        host.network_mode = "bridge"
        if "default" in endpoints:
            endpoints["bridge"] = endpoints.pop("default")
    if version < (1, 25):
        host.auto_remove = False  # removing was the client's part
    if version < (1, 40) and not host.ipc_mode:
        host.ipc_mode = "shareable"
    if version < (1, 41):
        request.platform = ""
        if not cgroup2 and not host.cgroupns_mode:
            host.cgroupns_mode = "host"
    _take_out_what_came_later(request, version)
    for mount in host.mounts or ():
        _mount_by_version(mount, version)
    if version < (1, 44) and len(endpoints) > 1:
        raise Invalid(f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}")
    if version < (1, 48):
        for settings in endpoints.values():
            settings.gw_priority = 0
    return [*_volume_driver(host, version), *_mac_address(request, version), *_interface_sysctls(request, version)]


def update_by_version(wanted: HostConfig, version: Version) -> None:
    """Change an update request to what it means at `version`."""
    if version < (1, 40):
        wanted.pids_limit = None
    if version >= (1, 42):
        wanted.kernel_memory = 0


def _take_out_what_came_later(request: CreateRequest, version: Version) -> None:
    host, check = request.host_config, request.config.healthcheck
    if version < (1, 40):
        host.kernel_memory_tcp = 0
    if version < (1, 42):
        host.console_size = [0, 0]
    else:
        host.kernel_memory = 0  # removed then
    if version < (1, 43):
        host.annotations = None
    if version < (1, 44):
        request.flat_read_only = True
        if check is not None:
            check.start_interval = 0


def _mount_by_version(mount: MountRequest, version: Version) -> None:
    bind = mount.bind_options
    if bind is not None and version < (1, 40):
        bind.non_recursive = False
    if bind is not None and version < (1, 42):
        bind.create_mountpoint = False
    if version >= (1, 42):
        others = {"volume": mount.volume_options, "bind": bind, "tmpfs": mount.tmpfs_options}
        for kind, options in others.items():
            if options is not None and kind != mount.type:
                raise Invalid(f'{kind.capitalize()}Options must not be specified on mount type "{mount.type[:100]}"')
    if version < (1, 44) and mount.type == "bind" and bind is not None and bind.read_only_force_recursive:
        raise Invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
    if version < (1, 45) and mount.volume_options is not None and mount.volume_options.subpath:
        raise Invalid("VolumeOptions.Subpath needs API v1.45 or newer")
    if version < (1, 48) and mount.type == "image":
        raise Invalid('Mount type "Image" needs API v1.48 or newer')


def _volume_driver(host: HostConfig, version: Version) -> Iterator[str]:
    """moby's `handleVolumeDriverBC`: older clients say it themselves."""
    if not host.volume_driver or version < (1, 48):
        return
    for mount in host.mounts or ():
        driver = mount.volume_options.driver_config if mount.volume_options else None
        if mount.type == "volume" and not (driver and driver.name):
            yield _DRIVER_IGNORED
            return


def _mac_address(request: CreateRequest, version: Version) -> Iterator[str]:
    """moby's `handleMACAddressBC`: before 1.44 a container had one address, now each endpoint has its own."""
    config, mode = request.config, request.host_config.network_mode
    has_endpoint = mode not in ("host", "none") and not mode.startswith("container:")
    if version < (1, 44):
        if not config.mac_address:
            for settings in (request.networking_config.endpoints_config or {}).values():
                settings.mac_address = ""
            return
        if not has_endpoint:
            raise Invalid(_MAC_CONFLICT)
        _main_endpoint(request, version).mac_address = config.mac_address
        return
    if not config.mac_address:
        return
    if has_endpoint:
        try:
            settings = _main_endpoint(request, version)
        except Invalid as error:
            raise Invalid(
                f"unable to migrate container-wide MAC address to a specific network: {error.message}"
            ) from None
        settings.mac_address = settings.mac_address or config.mac_address
        if settings.mac_address != config.mac_address:
            raise Invalid(_MAC_MISMATCH)
    config.mac_address = ""
    yield _MAC_DEPRECATED


def _interface_sysctls(request: CreateRequest, version: Version) -> Iterator[str]:
    """moby's `handleSysctlBC`: what names eth0 moves to the main endpoint, whose interface is not there at the start of
    the process; from 1.48 on it is refused."""
    host = request.host_config
    if host.network_mode == "host" or host.network_mode.startswith("container:"):
        return
    parts = {key: key.split(".", 4) for key in host.sysctls or {}}
    named = {key: part for key, part in parts.items() if len(part) == 5 and part[0] == "net" and part[3][:3] == "eth"}
    if not named or not host.sysctls:
        return
    first = next(iter(named))
    if version >= (1, 48):
        raise Internal(
            f'interface specific sysctl setting "{first[:200]}" must be supplied using driver option '
            f"'{ENDPOINT_SYSCTLS}'"
        )
    try:
        endpoint = _main_endpoint(request, version)
    except Invalid as error:
        raise Invalid(f"unable to find a network for sysctl {first[:200]}: {error.message}") from None
    moved = []
    for key, (_, family, group, interface, name) in named.items():
        if interface != "eth0":
            raise Internal(
                f"unable to determine network endpoint for sysctl {key[:200]}, use driver option "
                f"'{ENDPOINT_SYSCTLS}' to set per-interface sysctls"
            )
        moved.append(f"net.{family}.{group}.IFNAME.{name}={host.sysctls[key]}")
    host.sysctls = {key: value for key, value in host.sysctls.items() if key not in named}
    option = ",".join(moved)
    given = (endpoint.driver_opts or {}).get(ENDPOINT_SYSCTLS)
    endpoint.driver_opts = {
        **(endpoint.driver_opts or {}),
        ENDPOINT_SYSCTLS: option if given is None else f"{option},{given}",  # the last of two wins
    }
    yield f'Migrated sysctl "{",".join(named)}" to DriverOpts{{"{ENDPOINT_SYSCTLS}":"{option}"}}.'


def _main_endpoint(request: CreateRequest, version: Version) -> EndpointSettings:
    """The endpoint that the network mode names, made where there is none at all (moby's `epConfigForNetMode`)."""
    endpoints, mode = request.networking_config.endpoints_config, request.host_config.network_mode
    if not endpoints:
        made = EndpointSettings()
        request.networking_config.endpoints_config = {mode: made}
        return made
    if version < (1, 44):
        return next(iter(endpoints.values()))  # there was only one, whatever its name
    if mode not in endpoints:
        raise Invalid(_NO_MAIN_ENDPOINT)
    return endpoints[mode]
