"""The flags of wharfd: dockerd's, and a few of its own."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from wharf import __version__
from wharf.errors import Invalid

Add = Callable[..., Any]
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: -"):
            message = f"unknown flag: {message.split(': ', 1)[1].split()[0]}"
        raise Invalid(message)


def flag_parser() -> argparse.ArgumentParser:
    """Gives only what is on the command line; raises Invalid for what it does not know."""
    parser = _Parser(
        prog="wharfd", description="A container engine that speaks Docker's API.", allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )  # fmt: skip
    for group in (_of_the_daemon, _of_networks, _of_containers, _of_access, _of_images):
        group(parser.add_argument)
    return parser


def _switch(add: Add, name: str, meaning: str) -> None:
    add(name, nargs="?", const=True, type=_boolean, metavar="BOOL", help=meaning)


def _of_the_daemon(add: Add) -> None:
    add("-H", "--host", dest="hosts", action="append", metavar="URL", help="listen on unix:///path or tcp://ip:port")
    add("--data-root", metavar="DIR", help="where images, containers and volumes are kept (/var/lib/wharf)")
    add("--exec-root", metavar="DIR", help="state of running containers (/run/wharf)")
    add("-p", "--pidfile", metavar="FILE", help="file for the daemon's pid")
    add("--config-file", metavar="FILE", help="daemon.json (/etc/wharf/daemon.json)")
    add("-G", "--group", metavar="NAME", help="group that may use the unix socket")
    add("-D", "--debug", action="store_true", help="log everything")
    add("-l", "--log-level", choices=LOG_LEVELS, help="least level of what is logged")
    add("--label", dest="labels", action="append", metavar="KEY=VALUE", help="label of the daemon")
    add("--idle-timeout", type=int, metavar="SECONDS", help="end when nothing runs and nobody asks for so long")
    add("--validate", action="store_true", help="check the settings and end")
    add("-v", "--version", action="version", version=f"Wharf version {__version__}")


def _of_networks(add: Add) -> None:
    add("--bip", metavar="CIDR", help="address of the default bridge")
    add("--default-address-pool", dest="default_address_pools", action="append", metavar="base=CIDR,size=N")
    add("--bip6", metavar="CIDR", help="IPv6 address of the default bridge")
    add("--fixed-cidr", metavar="CIDR", help="the default bridge's containers get addresses out of this range")
    add("--fixed-cidr-v6", metavar="CIDR", help="the same for IPv6")
    add("--default-gateway", metavar="ADDRESS", help="where the default bridge's containers send what leaves")
    add("--default-gateway-v6", metavar="ADDRESS", help="the same for IPv6")
    add("--mtu", type=int, metavar="N", help="MTU of the default bridge (1500)")
    _switch(add, "--ipv6", "IPv6 on the default bridge")
    _switch(add, "--ip-masq", "masquerade what leaves the default bridge (true)")
    _switch(add, "--iptables", "packet filter rules; only true")
    _switch(add, "--ip6tables", "packet filter rules for IPv6; only true")
    add("--default-network-opt", dest="default_network_opts", action="append", metavar="DRIVER=KEY=VALUE")
    add("--dns", action="append", metavar="ADDRESS", help="name server of containers that ask for none")
    add("--dns-opt", dest="dns_opts", action="append", metavar="OPTION", help="resolver option of such containers")
    add("--dns-search", action="append", metavar="DOMAIN", help="search domain of such containers")
    _switch(add, "--icc", "the default bridge's containers may talk")
    add("--ip", metavar="ADDRESS", help="host address of ports published without one (0.0.0.0)")
    _switch(add, "--ip-forward", "switch net.ipv4.ip_forward on (true)")


def _of_containers(add: Add) -> None:
    add("--default-ulimit", dest="default_ulimits", action="append", metavar="NAME=SOFT[:HARD]",
        help="limit of containers that do not name it")  # fmt: skip
    add("--default-shm-size", metavar="SIZE", help="size of /dev/shm (64m)")
    add("--default-ipc-mode", metavar="MODE", help="private or shareable (private)")
    add("--default-cgroupns-mode", metavar="MODE", help="host or private (private on cgroup v2, host on v1)")
    add("--cgroup-parent", metavar="PATH", help="cgroup below which containers have theirs; a slice with systemd")
    _switch(add, "--init", "a small init as the first process of containers")
    add("--shutdown-timeout", type=int, metavar="SECONDS", help="how long containers have to stop")
    add("--log-driver", metavar="NAME", help="default log driver (json-file)")
    add("--log-opt", dest="log_opts", action="append", metavar="KEY=VALUE", help="option of the default log driver")
    add("--exec-opt", dest="exec_opts", action="append", metavar="KEY=VALUE", help="native.cgroupdriver=systemd")
    add("--cdi-spec-dir", dest="cdi_spec_dirs", action="append", metavar="DIR", help="descriptions of devices (CDI)")
    add("--userns-remap", metavar="USER[:GROUP]", help="user namespaces with the subordinate ids of a user, or default")
    add("--seccomp-profile", metavar="FILE", help="default seccomp profile: a file, builtin or unconfined")
    add("--no-new-privileges", action="store_true", help="no container gains privileges, unless it says so")
    add("--selinux-enabled", action="store_true", help="label containers where the host has SELinux")
    _switch(add, "--live-restore", "containers go on running when the daemon ends (true)")
    add("--restart-unhealthy", action="store_true", help="restart what is unhealthy and has a restart policy")
    add("--add-runtime", dest="runtimes", action="append", metavar="NAME=PATH", help="another OCI runtime")
    add("--default-runtime", metavar="NAME", help="runtime of containers that name none (runc: the one built in)")


def _of_access(add: Add) -> None:
    _switch(add, "--tls", "TLS; false: plain TCP also beyond loopback")
    _switch(add, "--tlsverify", "TLS, and clients must show a certificate; false: plain TCP also beyond loopback")
    add("--tlscacert", metavar="FILE")
    add("--tlscert", metavar="FILE")
    add("--tlskey", metavar="FILE")


def _of_images(add: Add) -> None:
    add("--insecure-registry", dest="insecure_registries", action="append", metavar="HOST", help="plain http is taken")
    add("--registry-mirror", dest="registry_mirrors", action="append", metavar="[DOMAIN=]URL", help="asked first")
    add("--registry-realm", dest="registry_realms", action="append", metavar="DOMAIN=HOST", help="may see credentials")
    add("--registry-certs", dest="registry_certs", action="append", metavar="DIR", help="instead of /etc/*/certs.d")
    add("--image-gc", dest="image_gc", action="append", metavar="KEY=VALUE", help="max-size, unused-for, interval")
    add("--http-proxy", metavar="URL", help="proxy for plain http to registries ($HTTP_PROXY)")
    add("--https-proxy", metavar="URL", help="proxy for https to registries ($HTTPS_PROXY)")
    add("--no-proxy", metavar="HOSTS", help="hosts and networks that are reached without a proxy ($NO_PROXY)")
    add("--max-concurrent-downloads", type=int, metavar="N", help="layers that a pull fetches at once (3)")
    add("--max-concurrent-uploads", type=int, metavar="N", help="layers that a push sends at once (5)")
    add("--max-download-attempts", type=int, metavar="N", help="attempts of each download (5)")


def _boolean(text: str) -> bool:
    """As Go's strconv.ParseBool."""
    if text.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise argparse.ArgumentTypeError(f"invalid boolean value {text[:50]!r}")
    return text.lower() in ("1", "t", "true")
