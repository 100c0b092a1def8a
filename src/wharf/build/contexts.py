"""The client's files of a build: unpacked, or fetched from a URL or a repository; the Dockerfile in them."""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wharf.build.git_url import git_source
from wharf.build.graph import HttpSource
from wharf.build.lock import SourceLock
from wharf.build.ops.git import DEFAULT_AGENT, fetch_git
from wharf.build.ops.remote import fetch_http
from wharf.build.request import BuildRequest
from wharf.build.small_contexts import CONTEXT_MODE
from wharf.build.tree import Tree
from wharf.dockerfile.ignore import read_ignore
from wharf.dockerfile.instructions import Dockerfile
from wharf.dockerfile.parse import parse_dockerfile
from wharf.errors import Internal, Invalid, WharfError
from wharf.kernel import paths
from wharf.storage.layers.unpack import unpack_files

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_DOCKERFILE = 16 << 20
MAX_REMEMBERED = 64 << 10
"""Characters of a Dockerfile that is kept in its parsed form for the next build."""
KEEP_GIT = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"
"""The build argument that leaves a repository's .git in the context."""
OTHER_FILE = re.compile(r"\.dockerfile\.[0-9a-f]{16,20}\Z")


@dataclass(frozen=True, slots=True)
class Contexts:
    """Contexts of one engine: `directory` has what running builds fetched from elsewhere, `downloads` files on the way
    there."""

    engine: Engine
    directory: str
    downloads: str

    @contextlib.contextmanager
    def remote(self, url: str, lock: SourceLock, request: BuildRequest) -> Iterator[Tree]:
        """A repository's files (through SSH with the client's agent), those of an archive behind a URL, or a Dockerfile
        alone. Raises WharfError."""
        fetched: list[str] = []
        try:
            yield Tree(directory=self._fetched(url, lock, request, fetched))
        finally:
            for directory in fetched:
                self.engine.trash.discard(directory)

    @contextlib.contextmanager
    def named(self, url: str, lock: SourceLock, request: BuildRequest) -> Iterator[Tree]:
        """As `remote`, but that what is no repository is the one file, under its own name. Raises WharfError."""
        if git_source(url) is not None:
            with self.remote(url, lock, request) as tree:
                yield tree
            return
        lock.expected(f"http {url}")
        file = fetch_http(HttpSource(url, _name_of(url)), self.downloads)
        try:
            lock.take(f"http {url}", file.digest)
            yield Tree(directory=file.directory)
        finally:
            self.engine.trash.discard(file.directory)

    def _new(self) -> str:
        directory = os.path.join(self.directory, secrets.token_hex(8))
        os.mkdir(directory, CONTEXT_MODE)
        return directory

    def _fetched(self, url: str, lock: SourceLock, request: BuildRequest, fetched: list[str]) -> str:
        git = git_source(url, keep_git=request.options.build_args.get(KEEP_GIT) == "1")
        if git is not None:
            name = f"git {git.url}#{git.ref}"
            found = fetch_git(git, self.downloads, commit=lock.expected(name), agent=request.agents.get(DEFAULT_AGENT))
            fetched.append(found.top)
            lock.take(name, found.commit)
            return found.directory
        if not url.startswith(("http://", "https://")):
            raise Invalid(f"unable to prepare context: unsupported remote {url[:200]!r}")
        name = _name_of(url)
        file = fetch_http(HttpSource(url, name), self.downloads)
        fetched.append(file.directory)
        lock.take(f"http {url}", file.digest)
        directory = self._new()
        fetched.append(directory)
        path = os.path.join(file.directory, os.path.basename(name))
        if _is_text(path):
            os.rename(path, os.path.join(directory, "Dockerfile"))
            return directory
        with open(path, "rb") as archive:
            try:
                unpack_files(self.engine.worker, archive, directory)
            except WharfError as error:
                raise Invalid(f"{url[:200]} is neither a Dockerfile nor an archive: {error.message}") from None
        return directory


def _name_of(url: str) -> str:
    return posixpath.basename(urlsplit(url).path) or "remote"


def _is_text(path: str) -> bool:
    """A Dockerfile rather than an archive: what archives begin with, or hold, is no text."""
    with open(path, "rb") as file:
        head = file.read(512)
    return b"\0" not in head and not head.startswith((b"BZh", b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def read_dockerfile(directory: str, request: BuildRequest) -> tuple[str, Dockerfile]:
    """The Dockerfile of a context: its text, and parsed. Raises Internal where there is none, Invalid for a bad one."""
    text = request.text
    if text is None:
        if posixpath.normpath(request.dockerfile.lstrip("/")).split("/")[0] == "..":
            raise Internal(f"forbidden path outside the build context: {request.dockerfile} ()")
        text = read_beneath(directory, request.dockerfile)
    if text is None and request.dockerfile == "Dockerfile":
        text = read_beneath(directory, "dockerfile")
    if text is None:
        raise Internal(f"Cannot locate specified Dockerfile: {request.dockerfile}")  # Docker has 500 for it
    if not text:
        raise Invalid(f"the Dockerfile ({request.dockerfile}) cannot be empty")
    return text, _parsed(text) if len(text) <= MAX_REMEMBERED else parse_dockerfile(text)


@functools.lru_cache(maxsize=16)
def _parsed(text: str) -> Dockerfile:
    """Parsed once: who builds again has changed the files rather than this one."""
    return parse_dockerfile(text)


def ignore_patterns(directory: str, request: BuildRequest) -> tuple[str, ...]:
    """Those of the Dockerfile's own .dockerignore, else of the context's."""
    text = read_beneath(directory, request.dockerfile + ".dockerignore") if request.text is None else None
    if text is None:
        text = read_beneath(directory, ".dockerignore")
    patterns = read_ignore(text) if text else ()
    # A Dockerfile from elsewhere travels in the context under a random name, and is no part of it.
    return (*patterns, request.dockerfile) if OTHER_FILE.match(request.dockerfile) else patterns


def read_beneath(directory: str, path: str) -> str | None:
    """A text file of a context; None where there is none. Symbolic links stay in the context."""
    try:
        top = os.open(directory, paths.DIRECTORY)
    except OSError:
        return None
    try:
        fd = paths.open_in_root(top, path.lstrip("/"), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(top)
    try:
        with open(fd, "rb") as file:
            data = file.read(MAX_DOCKERFILE + 1)
    except IsADirectoryError:
        os.close(fd)
        return None
    if len(data) > MAX_DOCKERFILE:
        raise Invalid(f"{path}: larger than {MAX_DOCKERFILE} bytes")
    return data.decode("utf-8", "surrogateescape")
