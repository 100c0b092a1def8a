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
class ProxySettings:
    """URLs of the proxies for http and https, "" for none; `no_proxy` lists who is reached without, by commas."""

    http: str = field(default="", repr=False)
    https: str = field(default="", repr=False)
    no_proxy: str = ""

    def with_defaults(self, environment: Mapping[str, str]) -> "ProxySettings":
        """Each that is "" as the environment has it, whose names may have either case."""

        def variable(name: str) -> str:
            return environment.get(name) or environment.get(name.lower()) or ""

        return ProxySettings(
            self.http or variable("HTTP_PROXY"),
            self.https or variable("HTTPS_PROXY"),
            self.no_proxy or variable("NO_PROXY"),
        )


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """What a pull from a repository needs: nothing, a signature with one of `keys` (files with PEM public keys), or it
    is refused."""

    refuse: bool = False
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Settings of the daemon. `insecure`: hosts and networks; `mirrors` and `realms`: by the domain of image names;
    `certs`: directories with a directory of certificates for each host, () for the usual ones."""

    insecure: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    realms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    downloads: int = 3
    uploads: int = 5
    attempts: int = 5
    proxies: ProxySettings = field(default_factory=ProxySettings)
    certs: tuple[str, ...] = ()
    signatures: Mapping[str, SignatureRule] = field(default_factory=dict)
    """By `*`, `domain`, or `domain/path`, which stands for all below it too; the longest counts."""

    def rule_for(self, name: str) -> SignatureRule:
        """The rule of a canonical repository name."""
        while name not in self.signatures and "/" in name:
            name = name.rpartition("/")[0]
        return self.signatures.get(name) or self.signatures.get("*") or SignatureRule()
