"""Commits of git repositories for ADD and contexts: fetched by the host's git, at depth 1, from public addresses only.

Through SSH a client's agent signs, and nothing else of this host's is used: no key of its user, no configuration. The
server's key is taken at the first sight, as BuildKit takes it, unless /etc/ssh/ssh_known_hosts knows another.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from wharf.build.agents import AgentSocket
from wharf.build.graph import GitSource
from wharf.build.ops.remote import nothing, refuse_private
from wharf.build.request import Agent
from wharf.errors import Invalid, NotFound, Unavailable

TIMEOUT_S = 600.0
MAX_SUBMODULES = 200
"""Of one repository, those of its submodules included."""
PORTS = {"http": 80, "https": 443, "git": 9418, "ssh": 22}
DEFAULT_AGENT = "default"
_SCP = re.compile(r"(?P<user>[^@/]+)@(?P<host>[^:/]+):(?P<path>.+)")
_SSH_OPTIONS = (
    "BatchMode=yes", "PreferredAuthentications=publickey", "IdentityFile=none", "StrictHostKeyChecking=accept-new",
    "ConnectTimeout=60", "ProxyCommand=none", "ControlPath=none", "ForwardAgent=no", "UpdateHostKeys=no",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkout:
    """`directory` is the wanted part of the files beneath `top`, which is to be removed; `commit` is their commit."""

    directory: str
    top: str
    commit: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is: what is connected to."""

    scheme: str
    host: str
    port: int


@dataclass(slots=True)
class _Fetching:
    """One checkout under way; `agent` is the path of a socket, "" without one."""

    agent: str
    check: Callable[[], None]
    submodules: int = 0


def fetch_git(
    op: GitSource,
    downloads: str,
    check: Callable[[], None] = nothing,
    commit: str = "",
    agent: Agent | None = None,
) -> Checkout:
    """The files of a commit: `commit` where it is given, else what the source's ref leads to.

    Raises NotFound, Invalid, Denied, Unavailable with what git said.
    """
    if place_of(op.url).scheme == "ssh" and agent is None:
        raise Invalid(f"{op.url[:200]}: no SSH key {DEFAULT_AGENT!r} forwarded from the client")
    directory = os.path.join(downloads, secrets.token_hex(8))
    os.mkdir(directory, 0o755)
    try:
        with _lent(directory, agent) as socket_path:
            fetching = _Fetching(socket_path, check)
            found = _fetch(fetching, directory, op.url, commit or op.ref or "HEAD")
            if op.checksum and not found.startswith(op.checksum):
                raise Invalid(f"expected checksum to match {op.checksum}, got {found}")
            if op.submodules:
                _fetch_submodules(fetching, directory, op.url)
        if not op.keep_git:
            _without_git(directory)
        inner = os.path.realpath(os.path.join(directory, op.subdir))
        if inner != directory and not inner.startswith(directory + "/"):
            raise Invalid(f"{op.subdir}: leads out of the repository")
        if not os.path.isdir(inner):
            raise NotFound(f"{op.subdir}: not found in {op.url}")
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return Checkout(inner, directory, found)


def place_of(url: str) -> Place:
    """What a repository's URL, or `user@host:path`, connects to. Raises Invalid."""
    scp = _SCP.match(url) if "://" not in url else None
    scheme, host, port = ("ssh", scp["host"], 22) if scp else _of_url(url)
    if scheme not in PORTS or not host or host.startswith("-"):
        raise Invalid(f"{url[:200]}: not a URL that can be fetched")
    return Place(scheme, host, port)


def _of_url(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise Invalid(f"invalid URL {url[:200]!r}: {error}") from None


@contextlib.contextmanager
def _lent(directory: str, agent: Agent | None) -> Iterator[str]:
    """The socket of a client's agent, beside the checkout; its path as seen from there, which is short enough for an
    address wherever the data root is."""
    if agent is None:
        yield ""
        return
    beside = f"{directory}.agent"
    os.mkdir(beside, 0o700)
    try:
        with AgentSocket(agent, f"{beside}/socket", 0o600, (os.getuid(), os.getgid())):
            yield f"../{os.path.basename(beside)}/socket"
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _fetch(fetching: _Fetching, directory: str, url: str, ref: str) -> str:
    """Fetch and check out into an empty directory; the commit."""
    settings, environment = _connection(url, fetching.agent)
    fetching.check()
    _git(directory, [], "init", "-q")
    _git(directory, [], "remote", "add", "origin", url)
    _git(directory, settings, "fetch", "-q", "--depth", "1", "--", "origin", ref, **environment)
    _git(directory, [], "checkout", "-q", "FETCH_HEAD")
    return _git(directory, [], "rev-parse", "HEAD").strip()


def _connection(url: str, agent: str) -> tuple[list[str], dict[str, str]]:
    """Settings and environment that make git connect to the address that was looked at. Raises Denied, Invalid,
    Unavailable."""
    place = place_of(url)
    try:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"cannot find {place.host}: {error.strerror}") from None
    for *_, address in found:
        refuse_private(str(address[0]), place.host)
    if place.scheme == "git":
        return [], {}
    if place.scheme == "ssh":
        return [], {"GIT_SSH_COMMAND": _ssh(place, str(found[0][4][0]), agent), "GIT_SSH_VARIANT": "ssh",
                    "GIT_ALLOW_PROTOCOL": "ssh"}  # fmt: skip
    pinned = f"{place.host}:{place.port}:{found[0][4][0]}"
    # A redirect would be followed without being looked at.
    return ["-c", "http.followRedirects=false", "-c", f"http.curloptResolve={pinned}"], {}


def _ssh(place: Place, address: str, agent: str) -> str:
    """The command line that git runs to connect (git(1), GIT_SSH_COMMAND)."""
    if not agent:
        raise Invalid(f"{place.host}: no SSH key {DEFAULT_AGENT!r} forwarded from the client")
    known = os.path.join(os.path.dirname(agent), "known_hosts")
    options = (*_SSH_OPTIONS, f"IdentityAgent={agent}", f"UserKnownHostsFile={known}", f"HostName={address}",
               f"HostKeyAlias={place.host}")  # fmt: skip
    return shlex.join(["ssh", "-F", "none", *(word for option in options for word in ("-o", option))])


def _fetch_submodules(fetching: _Fetching, directory: str, url: str) -> None:
    """The commits that a repository's tree names, each from where .gitmodules has it; theirs as well.

    Not by `git submodule`, which would connect wherever the file says without anybody looking at the address.
    """
    waiting = [(directory, url)]
    while waiting:
        where, origin = waiting.pop()
        for path, commit, source in _submodules(where, origin):
            fetching.submodules += 1
            if fetching.submodules > MAX_SUBMODULES:
                raise Invalid(f"{url[:200]}: more than {MAX_SUBMODULES} submodules")
            inner = os.path.join(os.path.realpath(where), path)
            if os.path.realpath(inner) != inner or not os.path.isdir(inner):  # git makes the empty directory
                raise Invalid(f"{path[:200]}: not a place for a submodule")
            nested = os.path.relpath(os.path.realpath(directory), inner)
            agent = os.path.join(nested, fetching.agent) if fetching.agent else ""
            _fetch(_Fetching(agent, fetching.check), inner, source, commit)
            waiting.append((inner, source))


def _submodules(directory: str, origin: str) -> list[tuple[str, str, str]]:
    """(path, commit, URL) of each submodule that has a URL."""
    links, listed = {}, ""
    for line in _git(directory, [], "ls-tree", "-rz", "HEAD").split("\0"):
        head, _, path = line.partition("\t")
        if head.startswith("160000 "):
            links[path] = head.split(" ")[2]
        elif path == ".gitmodules":
            listed = _git(directory, [], "config", "-z", "--blob", "HEAD:.gitmodules", "--list")
    values = dict(item.partition("\n")[::2] for item in listed.split("\0") if item)
    found = []
    for key, path in values.items():
        url = values.get(key.removesuffix(".path") + ".url", "")
        if key.startswith("submodule.") and key.endswith(".path") and path in links and url:
            found.append((path, links[path], _joined(origin, url)))
    return found


def _joined(origin: str, url: str) -> str:
    """A submodule's URL may be relative to that of its repository (gitmodules(5))."""
    if not url.startswith(("./", "../")):
        return url
    scp = _SCP.match(origin) if "://" not in origin else None
    path = posixpath.normpath(posixpath.join(scp["path"] if scp else urlsplit(origin).path, url))
    if scp is not None:
        return f"{scp['user']}@{scp['host']}:{path}"
    return urlsplit(origin)._replace(path=path).geturl()


def _without_git(directory: str) -> None:
    """Without what git keeps, that of submodules included."""
    for where, names, _ in os.walk(directory):
        if ".git" in names:
            names.remove(".git")
            shutil.rmtree(os.path.join(where, ".git"))


def _git(directory: str, settings: list[str], *arguments: str, **more: str) -> str:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": directory,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "http:https:git",
        **more,
    }
    command = ["git", "-c", "core.hooksPath=/dev/null", *settings, "-C", directory, *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise Unavailable("git is not installed on this host: repositories need it") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {arguments[0]} took longer than {TIMEOUT_S:.0f} s") from None
    if done.returncode:
        raise Invalid(f"failed to fetch the repository: {done.stderr.strip()[-500:]}")
    return done.stdout
