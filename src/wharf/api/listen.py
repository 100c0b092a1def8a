"""Listening sockets from `-H` values: unix:// anywhere, tcp:// on loopback, or elsewhere with TLS and client proof."""

import contextlib
import errno
import grp
import ipaddress
import logging
import os
import socket
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from wharf.api.server import BACKLOG, Listener
from wharf.errors import Conflict, Invalid, Unavailable

log = logging.getLogger("wharf.api")
DEFAULT_GROUP = "wharf"
FIRST_PASSED_FD = 3
"""SD_LISTEN_FDS_START."""
MAX_UNIX_PATH = 107
"""sun_path less its NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files; with `verify`, clients must show a certificate of `ca`."""

    cert: str = ""
    key: str = ""
    ca: str = ""
    verify: bool = False


def open_listener(url: str, group: str, tls: TlsFiles | None, unproven: bool = False) -> Listener:
    """Bind one `-H` value; raises Invalid, Conflict (somebody answers there), Unavailable.

    `unproven`: TCP beyond loopback may do without client certificates, since the administrator said so a second time.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "tcp", url
    if scheme == "unix":
        return _unix(rest, group)
    if scheme == "tcp":
        return _tcp(rest, tls, unproven)
    raise Invalid(f"invalid protocol in -H {url[:200]}: unix://, tcp:// and fd:// are known")


def inherited_listeners(url: str) -> list[Listener]:
    """The sockets that a service manager passed (sd_listen_fds(3)): all for `fd://`, one for `fd://3` or its name.

    Each is taken over as it is: who may connect is decided by the unit that made it. Raises Invalid.
    """
    wanted = url.removeprefix("fd://")
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or int(count) == 0:
        raise Invalid("no sockets found via socket activation: make sure the service was started by systemd")
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    listeners = []
    for position in range(int(count)):
        fd = FIRST_PASSED_FD + position
        if wanted in ("", "*", str(fd), *names[position : position + 1]):
            listeners.append(_passed(url, fd))
    if not listeners:
        raise Invalid(f"-H {url[:200]}: no such socket was passed")
    return listeners


def _passed(url: str, fd: int) -> Listener:
    try:
        os.set_inheritable(fd, False)
        passed = socket.socket(fileno=fd)
        listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise Invalid(f"-H {url[:200]}: descriptor {fd} is no socket: {error.strerror}") from None
    if passed.family != socket.AF_UNIX or not listens:
        raise Invalid(f"-H {url[:200]}: descriptor {fd} is no listening unix socket")
    return Listener(passed)


def close_listeners(listeners: Iterable[Listener]) -> None:
    """Close sockets that nobody serves, and remove their files."""
    for listener in listeners:
        listener.socket.close()
        if listener.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(listener.path)


def _unix(path: str, group: str) -> Listener:
    if not path.startswith("/") or len(path.encode()) > MAX_UNIX_PATH:
        raise Invalid(f"-H unix://{path[:200]}: an absolute path of at most {MAX_UNIX_PATH} bytes is needed")
    gid = _group_id(group)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    _clear_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)
        # Nobody can connect before listen(2), so the mode is right before it matters.
        os.chown(path, -1, gid, follow_symlinks=False)
        os.chmod(path, 0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on unix://{path}: {error.strerror}") from None
    return Listener(listener, path=path)


def _group_id(name: str) -> int:
    if not name:
        try:
            return grp.getgrnam(DEFAULT_GROUP).gr_gid
        except KeyError:
            return -1
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise Invalid(f"group {name} not found") from None


def _clear_stale(path: str) -> None:
    """Remove a socket nobody listens on; raises Conflict when somebody does, Invalid for another kind of file."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Invalid(f"-H unix://{path}: there is a file that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
                raise Unavailable(f"-H unix://{path}: {error.strerror or error}") from None
        else:
            raise Conflict(f"-H unix://{path}: another daemon listens there")
    os.unlink(path)


def _tcp(address: str, tls: TlsFiles | None, unproven: bool) -> Listener:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or int(port) > 65535:
        raise Invalid(f"invalid bind address in -H tcp://{address[:200]}: expected ip:port")
    context = _context(tls) if tls else None
    if not _is_loopback(host) and (context is None or context.verify_mode != ssl.CERT_REQUIRED):
        if not unproven:
            raise Invalid(
                f"-H tcp://{address[:200]}: refused, because whoever reaches that address would be root here. "
                "Use --tlsverify with --tlscacert, --tlscert and --tlskey, or listen on loopback; "
                "or say --tlsverify=false too, if that is meant"
            )
        log.warning("tcp://%s: anyone who reaches this address is root on this host", address[:200])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on tcp://{address}: {error.strerror}") from None
    return Listener(listener, tls=context)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(tls.cert, tls.key)
        if tls.verify:
            context.load_verify_locations(tls.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise Invalid(f"cannot use the TLS files {tls.cert}, {tls.key}, {tls.ca}: {error}") from None
    return context
