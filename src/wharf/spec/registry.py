"""What a registry records of a manifest; patterns of repository names; what users and settings say of registries."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wharf.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A stored manifest; `subject` is the digest that it refers to or "", `size` in bytes."""

    digest: Digest
    media_type: str
    size: int
    subject: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


def fits(pattern: str, name: str) -> bool:
    """`*` fits all repositories, `team/*` all beneath, anything else itself."""
    return pattern == name or pattern == "*" or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """A user's credentials as Docker's clients send them; `server` is where they were given for, or ""."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server: str = ""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Settings of the daemon. `insecure`: hosts and networks; `mirrors` and `realms`: by the domain of image names."""

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    realms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    downloads: int = 3
    uploads: int = 5
    attempts: int = 5
