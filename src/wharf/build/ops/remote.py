"""ADD from elsewhere, and contexts from elsewhere: a file behind a URL (git.py has repositories). Bounded, and never
from this host's own services unless that is allowed: a Dockerfile may come from anybody."""

import email.utils
import hashlib
import http.client
import ipaddress
import os
import secrets
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from wharf.build.graph import HttpSource
from wharf.errors import Denied, Invalid, NotFound, Unavailable

MAX_DOWNLOAD = 8 << 30
TIMEOUT_S = 60.0
CHUNK = 1 << 20
ALLOW_PRIVATE = "WHARF_BUILD_PRIVATE_ADDRESSES"
"""Environment of wharfd: `1` lets builds reach loopback and private addresses; networks (CIDR, commas) let them reach
those."""


@dataclass(frozen=True, slots=True)
class Download:
    """A directory with the one file, and the file's digest."""

    directory: str
    digest: str


def nothing() -> None:
    """A check that is always passed."""


def fetch_http(op: HttpSource, downloads: str, check: Callable[[], None] = nothing) -> Download:
    """The file, mode 0600, with the time the server tells. `check` is called now and then, and may raise.

    Raises NotFound, Invalid, Denied, Unavailable.
    """
    directory = os.path.join(downloads, secrets.token_hex(8))
    os.mkdir(directory, 0o700)
    path = os.path.join(directory, os.path.basename(op.name))
    try:
        with _open(op.url) as answer, open(path, "xb") as file:
            digest = f"sha256:{_receive(answer, file, check)}"
            modified = email.utils.parsedate_tz(answer.headers.get("Last-Modified", ""))
        if op.checksum and digest != op.checksum:
            raise Invalid(f"digest mismatch {digest}: {op.checksum}")
        os.chmod(path, 0o600)
        if modified:
            seconds = email.utils.mktime_tz(modified)
            os.utime(path, (seconds, seconds))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Download(directory, digest)


def _receive(answer: Any, file: IO[bytes], check: Callable[[], None]) -> str:
    digest, size = hashlib.sha256(), 0
    while data := answer.read(CHUNK):
        check()
        size += len(data)
        if size > MAX_DOWNLOAD:
            raise Invalid(f"a download of more than {MAX_DOWNLOAD} bytes")
        digest.update(data)
        file.write(data)
    return digest.hexdigest()


def _connected(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
    """A connection to an address that may be reached: looked at after the name was resolved, once for both."""
    failure: OSError | None = None
    proxies = {urlsplit(url).hostname for url in urllib.request.getproxies().values()}
    for family, kind, protocol, _, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        if address[0] not in proxies:
            refuse_private(str(found[0]), address[0])
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(found)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    raise failure or OSError(f"{address[0]} has no address")


class _Plain(http.client.HTTPConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = _connected


class _Tls(http.client.HTTPSConnection):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = _connected


class _PlainHandler(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> Any:
        return self.do_open(_Plain, req)


class _TlsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: Any) -> Any:
        return self.do_open(_Tls, req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Each redirect's target is looked at as the first address was."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> Any:
    _check_url(url)
    opener = urllib.request.build_opener(_PlainHandler(), _TlsHandler(), _Redirects())
    try:
        return opener.open(urllib.request.Request(url, headers={"User-Agent": "wharf"}), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        kind = NotFound if error.code == 404 else Unavailable
        raise kind(f"invalid response status {error.code} for {url[:200]}") from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise Unavailable(f"cannot fetch {url[:200]}: {getattr(error, 'reason', error)}") from None


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(f"{url[:200]}: not a URL that can be fetched")


def refuse_private(address: str, host: str) -> None:
    """Raises Denied for an address of this host or of a private network that is not allowed."""
    allowed = os.environ.get(ALLOW_PRIVATE, "")
    where = ipaddress.ip_address(address.partition("%")[0])
    if where.is_global or allowed == "1":
        return
    for word in (word.strip() for word in allowed.split(",")):
        try:
            if word not in ("", "0") and where in ipaddress.ip_network(word, strict=False):
                return
        except ValueError:
            continue  # a wrong word allows nothing
    raise Denied(
        f"{host} leads to {address}, which is no public address; start wharfd with {ALLOW_PRIVATE}=1 to allow it"
    )
