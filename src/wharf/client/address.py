"""Which daemon to speak to: -H, DOCKER_HOST, the docker context store, or the default socket, in docker's order."""

import os

from wharf.client import jsontext
from wharf.errors import Invalid

DEFAULT_PORT, DEFAULT_TLS_PORT = 2375, 2376
DOCKER_SOCKET = "/var/run/docker.sock"
"""Where docker's command line finds its daemon, on a host and in a container."""
CREDENTIALS_INSIDE = "/run/secrets/docker"
"""The directory of config.json in a container that gets the user's credentials."""


class Address:
    """A daemon's address. `path` for a Unix socket, else `host` and `port`; `named` when somebody chose it.

    A plain class: importing `dataclasses` takes longer than a whole `wharf ps` may.
    """

    __slots__ = ("host", "named", "path", "port", "ssh", "tls")

    def __init__(self, path: str = "", host: str = "", port: int = 0, named: bool = True) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.named = named
        self.ssh: tuple[str, str, str, str] | None = None
        """User, host, port and path of an ssh:// address."""
        self.tls: dict[str, str] | None = None
        """Files `ca`, `cert` and `key`, and `verify`, which is empty when anybody's certificate will do."""

    def __str__(self) -> str:
        if self.ssh:
            user, host, port, path = self.ssh
            return f"ssh://{user + '@' if user else ''}{host}{':' + port if port else ''}{path}"
        return f"unix://{self.path}" if self.path else f"tcp://{self.host}:{self.port}"


def default_socket() -> str:
    """The socket of the default daemon: root's, or the user's beneath XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return "/run/wharf/wharf.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return runtime + "/wharf/wharf.sock"


def parse(text: str) -> Address:
    """An address from docker's `-H` grammar; raises Invalid for schemes that are not there."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "unix":
        return Address(path=rest or default_socket())
    if scheme in ("tcp", "http"):
        host, port = _host_port(rest.split("/", 1)[0], text)
        return Address(host=host, port=port)
    if scheme == "ssh":
        return _ssh(rest, text)
    if scheme in ("npipe", "fd"):
        raise Invalid(f"{scheme}:// connections are not there; use a unix:// socket")
    raise Invalid(f"unable to parse docker host `{text}`")


def _ssh(rest: str, whole: str) -> Address:
    place, slash, path = rest.partition("/")
    login, at, where = place.rpartition("@")
    user, colon, _ = login.partition(":")
    host, _, port = where.partition(":") if not where.startswith("[") else where[1:].partition("]")
    port = port.removeprefix(":")
    if colon:
        raise Invalid(f"unable to parse docker host `{whole}`: plain-text password is not supported")
    # What begins with a dash would be an option of ssh.
    if not host or host.startswith("-") or user.startswith("-") or (port and not port.isdigit()) or (at and not user):
        raise Invalid(f"unable to parse docker host `{whole}`")
    address = Address()
    address.ssh = (user, host, port, slash + path)
    return address


def _host_port(rest: str, whole: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise Invalid(f"unable to parse docker host `{whole}`")
    return host or "127.0.0.1", int(port or DEFAULT_PORT)


def config_directory(chosen: str = "") -> str:
    """Where config.json, contexts and manifest lists are: by --config, by DOCKER_CONFIG, or where docker has them."""
    return chosen or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")


def find(host: str = "", context: str = "", config_dir: str = "", options: dict[str, str] | None = None) -> Address:
    """The daemon's address. `host` and `context` are the command line's -H and --context, empty when not given;
    `options` its --tls, --tlsverify, --tlscacert, --tlscert and --tlskey."""
    if host and context:
        raise Invalid("conflicting options: cannot specify both --host and --context")
    directory = config_directory(config_dir)
    if host:
        return _with_tls(parse(host), directory, options or {})
    if not context:
        if os.environ.get("DOCKER_HOST"):
            return _with_tls(parse(os.environ["DOCKER_HOST"]), directory, options or {})
        context = os.environ.get("DOCKER_CONTEXT", "")
    context = context or _current_context(directory)
    if context and context != "default":
        return _of_context(directory, context)
    return Address(path=default_socket(), named=False)


def _current_context(directory: str) -> str:
    try:
        with open(directory + "/config.json", "rb") as file:
            settings = jsontext.loads(file.read())
    except (OSError, ValueError):
        return ""
    name = settings.get("currentContext", "") if isinstance(settings, dict) else ""
    return name if isinstance(name, str) else ""


def _with_tls(address: Address, directory: str, options: dict[str, str]) -> Address:
    """The command line's TLS options, then DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as docker reads them."""
    verify = options.get("tlsverify", "true" if os.environ.get("DOCKER_TLS_VERIFY") else "")
    wanted = options.get("tls", "true" if os.environ.get("DOCKER_TLS") else "")
    given = any(options.get(name) for name in ("tlscacert", "tlscert", "tlskey"))
    if address.host and (verify or wanted or given):
        place = os.environ.get("DOCKER_CERT_PATH") or directory
        names = (("ca", "tlscacert", "ca.pem"), ("cert", "tlscert", "cert.pem"), ("key", "tlskey", "key.pem"))
        address.tls = {key: options.get(option) or f"{place}/{file}" for key, option, file in names}
        address.tls["verify"] = verify
    return address


def _of_context(directory: str, name: str) -> Address:
    from hashlib import sha256  # contexts are rare: the default socket needs no digest

    key = sha256(name.encode()).hexdigest()
    path = f"{directory}/contexts/meta/{key}/meta.json"
    try:
        with open(path, "rb") as file:
            endpoint = jsontext.loads(file.read())["Endpoints"]["docker"]
        address = parse(str(endpoint["Host"]))
    except FileNotFoundError:
        raise Invalid(
            f'Failed to initialize: unable to resolve docker endpoint: context "{name}": context not found: '
            f"open {path}: no such file or directory"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Invalid(f'unable to resolve docker endpoint: context "{name}": {error}') from None
    files = f"{directory}/contexts/tls/{key}/docker"
    if address.host and (os.path.isdir(files) or endpoint.get("SkipTLSVerify")):
        address.tls = {name: f"{files}/{name}.pem" for name in ("ca", "cert", "key")}
        address.tls["verify"] = "" if endpoint.get("SkipTLSVerify") else "true"
    return address
