"""A Debian package archive over HTTP, believed only as far as its signature reaches.

    InRelease ──signed by──> a keyring of the host
       └─ SHA256 of Packages.xz ─ SHA256 of each .deb

(Debian wiki, DebianRepository/Format; deb822(5).) Nothing that was fetched is used before its digest was compared.
"""

import email.utils
import hashlib
import lzma
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from wharf.errors import Invalid, NotFound, Unavailable
from wharf.transfer.bootstrap.sources import AptSource, parse_stanzas, trusted_keyrings

TIMEOUT_S = 60.0
MAX_RELEASE = 16 << 20
MAX_INDEX = 512 << 20
"""Bytes of an unpacked Packages index."""
MAX_PACKAGE = 256 << 20
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Release:
    """A verified release file: its date in seconds since 1970, and SHA256 and size of each index."""

    date: int
    files: dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Package:
    """Where a binary package lies in the archive."""

    name: str
    version: str
    path: str
    sha256: str
    size: int


def fetch_release(source: AptSource) -> Release:
    """The suite's InRelease, verified. Raises Unavailable (unreachable, bad signature, expired) or NotFound."""
    signed = _fetch(f"{source.uri}/dists/{source.suite}/InRelease", MAX_RELEASE)
    text = _verified(signed, trusted_keyrings(source), f"{source.uri} {source.suite}").decode("utf-8", "replace")
    fields = next(iter(parse_stanzas(text)), {})
    expires = _time(fields.get("valid-until", ""))
    if expires and expires < time.time():
        raise Unavailable(f"the release file of {source.suite} at {source.uri} expired: use a current mirror")
    files = {}
    for line in fields.get("sha256", "").split("\n"):
        parts = line.split()
        if len(parts) == 3 and parts[1].isdigit():
            files[parts[2]] = (parts[0], int(parts[1]))
    return Release(_time(fields.get("date", "")), files)


def find_package(source: AptSource, release: Release, name: str, architecture: str) -> Package:
    """The newest entry of a package in the main component. Raises NotFound, Unavailable."""
    index = f"main/binary-{architecture}/Packages.xz"
    if index not in release.files:
        raise NotFound(f"{source.suite} at {source.uri} has no index {index}")
    sha256, size = release.files[index]
    packed = _fetch(f"{source.uri}/dists/{source.suite}/{index}", size)
    _check(packed, sha256, size, index)
    stanza = _stanza(_unpack(packed, index), name)
    if stanza is not None:
        path = stanza.get("filename", "")
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise Invalid(f"{index}: {name} has the file name {path[:200]!r}")
        return Package(name, stanza.get("version", ""), path, stanza.get("sha256", ""), int(stanza.get("size", "0")))
    raise NotFound(f"{source.suite} at {source.uri} has no package {name} for {architecture}")


def fetch_package(source: AptSource, package: Package) -> bytes:
    """The .deb, its digest compared. Raises Unavailable, Invalid."""
    if not 0 < package.size <= MAX_PACKAGE:
        raise Invalid(f"package {package.name}: {package.size} bytes are beyond the limit of {MAX_PACKAGE}")
    data = _fetch(f"{source.uri}/{package.path}", package.size)
    _check(data, package.sha256, package.size, package.path)
    return data


def _stanza(text: str, name: str) -> dict[str, str] | None:
    """One package's paragraph; the index has tens of thousands, so the others are not parsed."""
    start = ("\n" + text).find(f"\nPackage: {name}\n")
    if start < 0:
        return None
    end = text.find("\n\n", start)
    return next(parse_stanzas(text[start : end if end >= 0 else len(text)]), None)


def _fetch(url: str, limit: int) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "wharf"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(limit + 1)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise NotFound(f"{url}: not found; is the suite's name right?") from error
        raise Unavailable(f"{url}: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"cannot fetch {url}: {error}") from error
    if len(data) > limit:
        raise Invalid(f"{url}: longer than the {limit} bytes that the archive promises")
    return data


def _verified(signed: bytes, keyrings: list[str], what: str) -> bytes:
    """What the signature covers, and nothing beside it (gpgv(1))."""
    with tempfile.NamedTemporaryFile(prefix="wharf-inrelease-") as file:
        file.write(signed)
        file.flush()
        arguments = [item for path in keyrings for item in ("--keyring", os.path.abspath(path))]
        try:
            done = subprocess.run(
                ["gpgv", "--quiet", *arguments, "--output", "-", file.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError:
            raise Unavailable("cannot verify a package archive: install the package gpgv") from None
    if done.returncode != 0 or not done.stdout:
        detail = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no signature"]
        raise Unavailable(f"the signature of {what} cannot be verified: {detail[0]}")
    return done.stdout


def _check(data: bytes, sha256: str, size: int, what: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if len(data) != size or found != sha256:
        raise Invalid(f"{what}: wrong digest: expected sha256:{sha256}, the mirror sent sha256:{found}")


def _unpack(packed: bytes, what: str) -> str:
    try:
        data = lzma.LZMADecompressor(memlimit=256 << 20).decompress(packed, MAX_INDEX)
    except lzma.LZMAError as error:
        raise Invalid(f"{what}: {error}") from error
    return data.decode("utf-8", "replace")


def _time(text: str) -> int:
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) if text else 0
    except ValueError:
        return 0
