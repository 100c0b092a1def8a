"""What a build is asked for, and what lowering needs of the world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from wharf.errors import Invalid
from wharf.spec.image import Image
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference

PROXY_ARGS = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
EPOCH_ARG = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class NamedContext:
    """`--build-context name=…`: `image` a reference, or `local` the name by which the graph has its files."""

    image: str = ""
    local: str = ""


def context_name(text: str) -> str:
    """The name of a context as it is compared: that of an image without what is meant anyway. Raises Invalid."""
    try:
        return Reference.parse(text).familiar().removesuffix(":latest")
    except Invalid:
        raise Invalid(f"invalid context name {text[:200]}") from None


@dataclass(frozen=True, slots=True)
class LowerOptions:
    """How a Dockerfile is to be read. `no_cache` holds stage names, or `*` for every stage."""

    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: Platform = Platform()
    build_platform: Platform = Platform()
    no_cache: frozenset[str] = frozenset()
    network: str = "default"
    hostname: str = ""
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    ulimits: tuple[str, ...] = ()
    limits: tuple[tuple[str, int | str], ...] = ()
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    """Patterns of the context's .dockerignore, for the check of what is copied."""
    build: str = ""
    """The running build: its contexts are called `<build>:<name>` in the graph."""
    allow: frozenset[str] = frozenset()
    """Entitlements: `network.host`, `security.insecure`."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image that a stage begins with or copies from; `reference` as it was asked for, with its tag."""

    reference: str
    image_id: str
    image: Image


class Resolver(Protocol):
    """Finds images; pulls them where that is asked for."""

    def image(self, reference: str, platform: Platform) -> BaseImage:
        """The image of a name. Raises NotFound."""
