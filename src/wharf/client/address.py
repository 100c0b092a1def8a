"""Which daemon to speak to: -H, DOCKER_HOST, the docker context store, or the default socket, in docker's order."""

import os

from wharf.client import jsontext
from wharf.errors import Invalid

DEFAULT_PORT, DEFAULT_TLS_PORT = 2375, 2376


class Address:
    """A daemon's address. `path` for a Unix socket, else `host` and `port`; `named` when somebody chose it.

    A plain class: importing `dataclasses` takes longer than a whole `wharf ps` may.
    """

    __slots__ = ("host", "named", "path", "port")

    def __init__(self, path: str = "", host: str = "", port: int = 0, named: bool = True) -> None:
        self.path = path
        self.host = host
        self.port = port
        self.named = named

    def __str__(self) -> str:
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
        if os.environ.get("DOCKER_TLS_VERIFY"):
            raise Invalid("TLS connections are not there yet; use a unix:// socket")
        return Address(host=host, port=port)
    if scheme in ("ssh", "npipe", "fd"):
        raise Invalid(f"{scheme}:// connections are not there yet; use a unix:// socket")
    raise Invalid(f"unable to parse docker host `{text}`")


def _host_port(rest: str, whole: str) -> tuple[str, int]:
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise Invalid(f"unable to parse docker host `{whole}`")
    return host or "127.0.0.1", int(port or DEFAULT_PORT)


def find(host: str = "", context: str = "", config_dir: str = "") -> Address:
    """The daemon's address. `host` and `context` are the command line's -H and --context, empty when not given."""
    if host and context:
        raise Invalid("conflicting options: cannot specify both --host and --context")
    if host:
        return parse(host)
    if not context:
        if os.environ.get("DOCKER_HOST"):
            return parse(os.environ["DOCKER_HOST"])
        context = os.environ.get("DOCKER_CONTEXT", "")
    directory = config_dir or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    context = context or _current_context(directory)
    if context and context != "default":
        return parse(_context_host(directory, context))
    return Address(path=default_socket(), named=False)


def _current_context(directory: str) -> str:
    try:
        with open(directory + "/config.json", "rb") as file:
            settings = jsontext.loads(file.read())
    except (OSError, ValueError):
        return ""
    name = settings.get("currentContext", "") if isinstance(settings, dict) else ""
    return name if isinstance(name, str) else ""


def _context_host(directory: str, name: str) -> str:
    from hashlib import sha256  # contexts are rare: the default socket needs no digest

    path = f"{directory}/contexts/meta/{sha256(name.encode()).hexdigest()}/meta.json"
    try:
        with open(path, "rb") as file:
            return str(jsontext.loads(file.read())["Endpoints"]["docker"]["Host"])
    except FileNotFoundError:
        raise Invalid(
            f'Failed to initialize: unable to resolve docker endpoint: context "{name}": context not found: '
            f"open {path}: no such file or directory"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise Invalid(f'unable to resolve docker endpoint: context "{name}": {error}') from None
