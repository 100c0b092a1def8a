"""ADD from elsewhere: a file behind a URL, a commit of a git repository. Bounded, and never from this host's own
services unless that is allowed: a Dockerfile may come from anybody."""

import email.utils
import hashlib
import ipaddress
import os
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from typing import IO, Any
from urllib.parse import urlsplit

from wharf.build.graph import GitSource, HttpSource
from wharf.build.solver.solver import Job
from wharf.build.tree import Tree
from wharf.errors import Denied, Invalid, NotFound, Unavailable

MAX_DOWNLOAD = 8 << 30
TIMEOUT_S = 60.0
GIT_TIMEOUT_S = 600.0
CHUNK = 1 << 20
ALLOW_PRIVATE = "WHARF_BUILD_PRIVATE_ADDRESSES"
"""Environment of wharfd: `1` lets ADD reach loopback and private addresses."""


def fetch_http(op: HttpSource, downloads: str, job: Job) -> Tree:
    """The file as a tree of one: mode 0600, the time the server tells. Raises NotFound, Invalid, Denied."""
    directory = os.path.join(downloads, secrets.token_hex(8))
    os.mkdir(directory, 0o700)
    path = os.path.join(directory, os.path.basename(op.name))
    try:
        with _open(op.url) as answer, open(path, "xb") as file:
            digest = _receive(answer, file, job)
            modified = email.utils.parsedate_tz(answer.headers.get("Last-Modified", ""))
        if op.checksum and f"sha256:{digest}" != op.checksum:
            raise Invalid(f"digest mismatch sha256:{digest}: {op.checksum}")
        os.chmod(path, 0o600)
        if modified:
            seconds = email.utils.mktime_tz(modified)
            os.utime(path, (seconds, seconds))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Tree(directory=directory)


def _receive(answer: Any, file: IO[bytes], job: Job) -> str:
    digest, size = hashlib.sha256(), 0
    while data := answer.read(CHUNK):
        job.check()
        size += len(data)
        if size > MAX_DOWNLOAD:
            raise Invalid(f"a download of more than {MAX_DOWNLOAD} bytes")
        digest.update(data)
        file.write(data)
    return digest.hexdigest()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Each redirect's target is looked at as the first address was."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> Any:
    check_address(url)
    opener = urllib.request.build_opener(_Redirects())
    try:
        return opener.open(urllib.request.Request(url, headers={"User-Agent": "wharf"}), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        kind = NotFound if error.code == 404 else Unavailable
        raise kind(f"invalid response status {error.code} for {url}") from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Unavailable(f"cannot fetch {url}: {getattr(error, 'reason', error)}") from None


def check_address(url: str) -> None:
    """Raises Denied for an address of this host or of a private network, Invalid for what is no such URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "git", "ssh") or not parts.hostname:
        raise Invalid(f"{url[:200]}: not a URL that can be fetched")
    if os.environ.get(ALLOW_PRIVATE) == "1":
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"cannot find {parts.hostname}: {error.strerror}") from None
    for *_, address in found:
        if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global:
            raise Denied(
                f"{url[:200]} leads to {address[0]}, which is no public address; "
                f"start wharfd with {ALLOW_PRIVATE}=1 to allow it"
            )


def fetch_git(op: GitSource, downloads: str, job: Job) -> Tree:
    """The files of a commit. Raises NotFound, Invalid, Unavailable with what git said."""
    if not op.url.startswith(("http://", "https://", "git://")):
        raise Invalid(f"{op.url[:200]}: no SSH key forwarded from the client")
    check_address(op.url)
    directory = os.path.join(downloads, secrets.token_hex(8))
    os.mkdir(directory, 0o700)
    try:
        _git(directory, "init", "-q")
        _git(directory, "fetch", "-q", "--depth", "1", "--", op.url, op.ref or "HEAD")
        _git(directory, "checkout", "-q", "FETCH_HEAD")
        commit = _git(directory, "rev-parse", "HEAD").strip()
        if op.checksum and not commit.startswith(op.checksum):
            raise Invalid(f"expected checksum to match {op.checksum}, got {commit}")
        if not op.keep_git:
            shutil.rmtree(os.path.join(directory, ".git"))
        inner = os.path.realpath(os.path.join(directory, op.subdir))
        if inner != directory and not inner.startswith(directory + "/"):
            raise Invalid(f"{op.subdir}: leads out of the repository")
        if not os.path.isdir(inner):
            raise NotFound(f"{op.subdir}: not found in {op.url}")
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Tree(directory=inner)


def _git(directory: str, *arguments: str) -> str:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": directory,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "http:https:git",
    }
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", directory, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise Unavailable("git is not installed on this host: ADD of a repository needs it") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {arguments[0]} took longer than {GIT_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        raise Invalid(f"failed to fetch the repository: {done.stderr.strip()[-500:]}")
    return done.stdout
