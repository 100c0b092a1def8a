"""What a build is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from wharf.build.layouts import Layout
from wharf.build.lower import Target
from wharf.build.options import LowerOptions
from wharf.build.outputs import DEFAULT, Output
from wharf.build.tree import Tree
from wharf.spec.digest import Digest
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin


class Agent(Protocol):
    """A client's SSH agent."""

    def ask(self, request: bytes) -> bytes:
        """One message of the agent's protocol, without its length, and the answer. Raises OSError."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """`--cache-from` and `--cache-to`: `registry` with a name, `inline`, or `content` (sent by the client before, or to
    be sent to it). `everything` exports every step (`mode=max`), `mounts` the cache mounts too."""

    kind: str
    reference: Reference | None = None
    digest: Digest | None = None
    everything: bool = False
    mounts: bool = True
    ignore_error: bool = False


_TRUE = ("1", "t", "T", "true", "True", "TRUE")
"""strconv.ParseBool of Go."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a client asks for. `dockerfile` is a path in the context; `text` is a Dockerfile that came beside it.

    `timeout` in seconds, 0: none. `locked` are the sources of a lock file; None: any.
    """

    options: LowerOptions
    dockerfile: str = "Dockerfile"
    text: str | None = None
    names: tuple[Reference, ...] = ()
    secrets: dict[str, bytes] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    pull: bool = False
    """Ask the registries for base images that are here as well."""
    logins: Mapping[str, RegistryLogin] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    """More than one: an image for each, and an index of them. None: that of the options."""
    outputs: tuple[Output, ...] = DEFAULT
    imports: tuple[CachePlace, ...] = ()
    exports: tuple[CachePlace, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    """Contexts beside the main one, by name, as the client says where they are."""
    contexts: Mapping[str, Tree] = field(default_factory=dict)
    """Files beside the context, by the names that the options' named contexts have for them (`local`)."""
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    """Images of named contexts that came as OCI layouts, by the references that the options have for them."""
    verify: bool = False
    locked: Mapping[str, str] | None = None
    timeout: float = 0
    told: Callable[[dict[str, Any]], None] = lambda message: None
    """Hears Docker's messages of a pull or a push."""
    warned: Callable[[str], None] = lambda text: None
    """Hears what went wrong without ending the build."""
    sent: Callable[[int, str, bytes], None] = lambda number, part, data: None
    """Takes the bytes of an output to the client: its number, what part of it, the bytes. The number -1 is a cache."""

    @property
    def several(self) -> bool:
        """Whether an index comes out: of several platforms, or of one where BUILDKIT_MULTI_PLATFORM asks for it."""
        return len(self.platforms) > 1 or self.options.build_args.get("BUILDKIT_MULTI_PLATFORM") in _TRUE


@dataclass(frozen=True, slots=True)
class Built:
    """The image of the first platform, all of them, what the checks found, what the sources were; where `verify` asked
    for a second build, how it differs (one line each)."""

    image: ImageRecord
    images: tuple[ImageRecord, ...]
    target: Target
    sources: Mapping[str, str]
    differences: tuple[str, ...] | None = None
