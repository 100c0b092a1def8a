"""What a registry records of a manifest; the repository's patterns of names."""

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
