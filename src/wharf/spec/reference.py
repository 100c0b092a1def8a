"""Image references: `[domain/]path[:tag][@digest]` with Docker's normalisation (distribution/reference grammar)."""

import re
from dataclasses import dataclass, replace

from wharf.errors import Invalid
from wharf.spec.digest import Digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME_LENGTH = 255
MAX_REFERENCE_LENGTH = MAX_NAME_LENGTH + 1 + 128 + 1 + 71

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_ALGORITHM = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*"
_OTHER_DIGEST = re.compile(rf"(?!sha(?:256|384|512):){_ALGORITHM}:[0-9a-fA-F]{{32,}}\Z")
_BARE_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, order=True, slots=True)
class Reference:
    """A normalised image name: `docker.io`, `library/busybox`, `latest`, and maybe a digest."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Parse a familiar or canonical name; no tag is added. Raises Invalid with Docker's wording."""
        if not text or len(text) > MAX_REFERENCE_LENGTH:
            raise Invalid("invalid reference format")
        if _BARE_ID.match(text):
            raise Invalid(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        rest, at, digest_text = text.partition("@")
        digest = _parse_digest(digest_text) if at else None
        tag = None
        slash = rest.rfind("/")
        colon = rest.rfind(":")
        if colon > slash:
            rest, tag = rest[:colon], rest[colon + 1 :]
            if not _TAG.match(tag):
                raise Invalid("invalid reference format")
        domain, path = _split_domain(rest)
        if path.lower() != path:
            raise Invalid(f"invalid reference format: repository name ({path}) must be lowercase")
        if not _DOMAIN.match(domain) or not _PATH.match(path):
            raise Invalid("invalid reference format")
        if len(domain) + 1 + len(path) > MAX_NAME_LENGTH:
            raise Invalid("repository name must not be more than 255 characters")
        return cls(domain, path, tag, digest)

    def with_default_tag(self) -> "Reference":
        """The same name with `latest` where neither a tag nor a digest is given."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    @property
    def name(self) -> str:
        """Canonical repository name without tag or digest: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as Docker shows it: `busybox`, `user/app`, `host:5000/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    def familiar(self) -> str:
        """The whole reference as Docker shows it."""
        return self.familiar_name + self._suffix()

    def canonical(self) -> str:
        """The whole reference with its domain: `docker.io/library/busybox:latest`."""
        return self.name + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.canonical()


def is_tag(text: str) -> bool:
    """Whether a text may be a tag."""
    return _TAG.match(text) is not None


def _parse_digest(text: str) -> Digest:
    if _OTHER_DIGEST.match(text):
        raise Invalid("unsupported digest algorithm")
    try:
        return Digest.parse(text)
    except Invalid:
        raise Invalid("invalid reference format") from None


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    if not is_domain:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = ("docker.io" if first == "index.docker.io" else first), rest
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    return domain, path
