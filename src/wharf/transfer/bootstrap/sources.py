"""Where the host's apt takes its packages from: one-line sources and deb822 ones (sources.list(5))."""

import glob
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wharf.errors import Invalid, Unavailable

APT_DIRECTORY = "/etc/apt"
OS_RELEASE = "/etc/os-release"
KEYRING_PLACES = ("/usr/share/keyrings/*-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/*.gpg")
MAX_SOURCE_FILE = 1 << 20
_SUITE = re.compile(r"[a-z0-9][a-z0-9.+-]*(?:/[a-z0-9][a-z0-9.+-]*)*\Z")
_ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)\Z")


@dataclass(frozen=True, slots=True)
class AptSource:
    """One archive and one suite of it. `keyrings` are files that may sign it; empty means apt's trusted ones."""

    uri: str
    suite: str
    components: tuple[str, ...] = ()
    keyrings: tuple[str, ...] = ()


def host_sources(directory: str = APT_DIRECTORY) -> list[AptSource]:
    """Every enabled binary source of the host, in apt's order; empty on a host without apt."""
    found: list[AptSource] = []
    lists = sorted(glob.glob(f"{directory}/sources.list.d/*.list"))
    for path in (f"{directory}/sources.list", *lists):
        found += parse_one_line(_read(path))
    for path in sorted(glob.glob(f"{directory}/sources.list.d/*.sources")):
        found += parse_deb822(_read(path))
    return found


def find_source(sources: Iterable[AptSource], suite: str) -> AptSource:
    """The archive that has the suite, else the one that has the host's own: its other suites are siblings there.

    Raises Unavailable when the host's apt knows neither.
    """
    usable = [item for item in sources if item.uri.startswith(("http://", "https://")) and "main" in item.components]
    own = host_codename()
    for wanted in (suite, own):
        for item in usable:
            if wanted and item.suite == wanted:
                return AptSource(item.uri, suite, item.components, item.keyrings)
    raise Unavailable(
        f"cannot find a package archive with the suite {suite!r} in the host's apt sources: name one with --mirror"
    )


def host_codename(path: str = OS_RELEASE) -> str:
    """VERSION_CODENAME of os-release(5), or ""."""
    for line in _read(path).splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip().strip("\"'")
    return ""


def check_suite(suite: str) -> str:
    """The suite's name itself; raises Invalid for anything that is no name of one."""
    if not _SUITE.match(suite) or len(suite) > 64:
        raise Invalid(f"invalid suite {suite[:100]!r}: expected a name such as bookworm")
    return suite


def check_mirror(uri: str) -> str:
    """The URI itself; raises Invalid unless it is plain http or https."""
    if not re.match(r"https?://[A-Za-z0-9.\[\]:_-]+(?:/[A-Za-z0-9._~/+-]*)?\Z", uri) or len(uri) > 1000:
        raise Invalid(f"invalid mirror {uri[:100]!r}: expected http://host/path or https://host/path")
    return uri.rstrip("/")


def trusted_keyrings(source: AptSource) -> list[str]:
    """Key files for gpgv; raises Unavailable when the host has none."""
    found = list(source.keyrings) or [path for place in KEYRING_PLACES for path in sorted(glob.glob(place))]
    if not found:
        raise Unavailable("no keyring to verify a package archive with: install the package debian-archive-keyring")
    return found


def parse_one_line(text: str) -> Iterator[AptSource]:
    """`deb [options] uri suite component…` lines."""
    for raw in text.splitlines():
        match = _ONE_LINE.match(raw.split("#", 1)[0].strip())
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "")
            yield AptSource(
                uri.rstrip("/"), suite, tuple(components.split()), _files(signed.group(1) if signed else "")
            )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Stanzas with Types, URIs, Suites, Components, Signed-By, Enabled."""
    for stanza in parse_stanzas(text):
        if "deb" not in stanza.get("types", "").split() or stanza.get("enabled", "yes").strip().lower() == "no":
            continue
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                components = tuple(stanza.get("components", "").split())
                yield AptSource(uri.rstrip("/"), suite, components, _files(stanza.get("signed-by", "")))


def parse_stanzas(text: str) -> Iterator[dict[str, str]]:
    """deb822 paragraphs (deb-control(5)); keys in lower case, continuation lines joined by newlines."""
    stanza: dict[str, str] = {}
    key = ""
    for line in (*text.splitlines(), ""):
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, key = {}, ""
        elif line[0] in " \t":
            if key:
                stanza[key] += "\n" + line.strip()
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            stanza[key] = value.strip()


def _files(signed_by: str) -> tuple[str, ...]:
    """Signed-By as files; an inline key or a fingerprint is not one, and leaves the choice to the trusted keyrings."""
    return tuple(part for part in re.split(r"[,\s]+", signed_by) if part.startswith("/"))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MAX_SOURCE_FILE)
    except OSError:
        return ""
