"""The build graph: vertices that are frozen values, each with a digest of what it does and of all below it.

Glossary. A *vertex* is one operation with its inputs. An input is another vertex, or None for an empty tree
(`scratch`). Its *digest* says what is to be done, not with what content: two files of the same name give one digest,
and the solver looks at the content. Nothing here knows what a Dockerfile is.
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from wharf.spec.digest import Digest
from wharf.spec.platform import Platform


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The tree of an image that was resolved already; `image_id` names it, whatever it was asked for by."""

    reference: str = field(metadata={"unkeyed": True})
    image_id: str


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Files that the client sent. `name` is the context's; the solver sees their content only where they are used."""

    name: str


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One file behind a URL, called `name`; `checksum` is empty or what it must be."""

    url: str
    name: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class GitSource:
    """A commit of a repository; `ref` is a branch, tag or commit, `subdir` the part that is wanted. `submodules`: with
    what they hold."""

    url: str
    ref: str = ""
    subdir: str = ""
    keep_git: bool = False
    checksum: str = ""
    submodules: bool = True


class MountKind(Enum):
    """What a mount of a step shows."""

    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"
    SSH = "ssh"


@dataclass(frozen=True, slots=True)
class StepMount:
    """A mount of an exec step. `input` is the index of the vertex whose tree it shows, -1 for none.

    `source` is the path in that tree; `size` in bytes; `id` names a cache, a secret or an agent; `env` is the variable
    that gets a secret's text.
    """

    kind: MountKind
    target: str
    input: int = -1
    source: str = ""
    read_only: bool = True
    size: int = 0
    id: str = ""
    sharing: str = "shared"
    required: bool = False
    env: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Exec:
    """Run a program on input 0. `unkeyed_env` (proxies) is given to it and is no part of what it is."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    mounts: tuple[StepMount, ...] = ()
    network: str = "default"
    insecure: bool = False
    hostname: str = "buildkitsandbox"
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """Programs that are put into /dev/pipes: name, text."""
    unkeyed_env: tuple[str, ...] = field(default=(), metadata={"unkeyed": True})
    limits: tuple[tuple[str, int | str], ...] = field(default=(), metadata={"unkeyed": True})


@dataclass(frozen=True, slots=True)
class Mkdir:
    """Make a directory and those above it."""

    path: str
    mode: int = 0o755
    user: str = ""


@dataclass(frozen=True, slots=True)
class Mkfile:
    """Write a small file into a directory, or as `path`."""

    path: str
    text: str
    mode: int = 0o644
    chown: str = ""
    chmod: str = ""
    """For the directories on the way, as for what is copied."""


@dataclass(frozen=True, slots=True)
class CopyFiles:
    """Copy `sources` (paths or patterns in the tree of input `input`) to `target`.

    `target` ends with a slash where it must be a directory. `zero_owner` for what a client sent: its owners mean
    nothing here. `unpack`: archives are extracted; None: where they are one and the source is a client's file.
    """

    input: int
    sources: tuple[str, ...]
    target: str
    chown: str = ""
    chmod: str = ""
    excludes: tuple[str, ...] = ()
    parents: bool = False
    unpack: bool = False
    zero_owner: bool = True
    may_be_empty: bool = False
    contents_only: bool = True


FileAction = Mkdir | Mkfile | CopyFiles


@dataclass(frozen=True, slots=True)
class Files:
    """Change files of input 0; the other inputs are what actions copy from. One layer."""

    actions: tuple[FileAction, ...]
    linked: bool = False
    """A layer that does not depend on what is below it: links in the way are not followed."""


Operation = ImageSource | LocalSource | HttpSource | GitSource | Exec | Files


@dataclass(frozen=True, eq=False)
class Vertex:
    """One operation. Compared by identity; `digest` is for those who want equality of meaning.

    `title` is what people read of it; `ignore_cache` makes it run even where its result is known; no file of its
    layer is younger than `epoch` (seconds since 1970). `build` is the running build that it belongs to, if any.
    """

    op: Operation
    inputs: tuple["Vertex | None", ...]
    title: str
    platform: Platform = Platform()
    epoch: int = 0
    ignore_cache: bool = False
    build: str = ""
    lines: tuple[int, int] | None = None
    digest: Digest = field(init=False)
    _operation: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_operation", _canonical(operation_key(self.op)))
        below = [str(item.digest) if item else "scratch" for item in self.inputs]
        object.__setattr__(self, "digest", self.key(below))

    def key(self, inputs: list[Any]) -> Digest:
        """The digest of the operation with what is told of its inputs."""
        return _digest_of(f"[{self._operation},{_canonical(inputs)},{_canonical(str(self.platform))},{self.epoch}]")


def operation_key(op: Operation) -> Any:
    """What an operation is, as JSON: its kind and every field that decides its result."""
    return [type(op).__name__, _plain(op)]


def _plain(value: Any) -> Any:
    kind: Any = type(value)
    names = _keyed(kind)
    if names is not None:
        return {name: _tagged(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_tagged(item) for item in value]
    return value.value if isinstance(value, Enum) else value


def _tagged(value: Any) -> Any:
    """A dataclass within another with its kind, so that two kinds with equal fields differ."""
    kind: Any = type(value)
    plain = _plain(value)
    return [kind.__name__, plain] if _keyed(kind) is not None else plain


@functools.lru_cache(maxsize=64)
def _keyed(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass that decide the result; None for another type."""
    if not is_dataclass(kind):
        return None
    return tuple(item.name for item in fields(kind) if not item.metadata.get("unkeyed"))


def digest_of(value: Any) -> Digest:
    """The digest of a value as canonical JSON."""
    return _digest_of(_canonical(value))


def _digest_of(text: str) -> Digest:
    return Digest(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())


_canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode


def walk(top: Vertex) -> Iterator[Vertex]:
    """Every vertex below and the top itself, inputs first, each once; no recursion, however deep."""
    seen: set[int] = set()
    stack: list[tuple[Vertex, bool]] = [(top, False)]
    while stack:
        vertex, ready = stack.pop()
        if ready:
            yield vertex
            continue
        if id(vertex) in seen:
            continue
        seen.add(id(vertex))
        stack.append((vertex, True))
        stack.extend((item, False) for item in reversed(vertex.inputs) if item is not None)
