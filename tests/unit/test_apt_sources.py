"""Where the host's apt takes its packages from."""

from pathlib import Path

import pytest

from wharf.errors import Invalid, Unavailable
from wharf.transfer.bootstrap.sources import (
    AptSource,
    check_mirror,
    check_suite,
    find_source,
    host_sources,
    parse_deb822,
    parse_one_line,
)


def test_one_line_sources() -> None:
    text = """# deb http://off.example/debian x main
deb http://a.example/debian bookworm main contrib   # comment
deb [arch=amd64 signed-by=/k.gpg] https://b.example/x/ stable main
deb-src http://a.example/debian bookworm main
deb cdrom:[x]/ y main
nonsense"""
    assert list(parse_one_line(text))[:2] == [
        AptSource("http://a.example/debian", "bookworm", ("main", "contrib")),
        AptSource("https://b.example/x", "stable", ("main",), ("/k.gpg",)),
    ]


def test_deb822_sources() -> None:
    text = """Types: deb deb-src
# a comment
URIs: http://a.example/debian/
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb
URIs: http://off.example
Suites: x
Enabled: no

Types: deb
URIs: http://c.example
Suites: y
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
"""
    key = ("/usr/share/keyrings/a.gpg",)
    assert list(parse_deb822(text)) == [
        AptSource("http://a.example/debian", "bookworm", ("main",), key),
        AptSource("http://a.example/debian", "bookworm-updates", ("main",), key),
        AptSource("http://c.example", "y", ("main",)),
    ]


def test_a_host_without_apt(tmp_path: Path) -> None:
    assert host_sources(str(tmp_path)) == []
    with pytest.raises(Unavailable, match="--mirror"):
        find_source([], "bookworm")


def test_the_archive_of_a_suite() -> None:
    own = AptSource("http://a.example/debian", "bookworm", ("main",), ("/k",))
    others = [AptSource("cdrom:x", "bookworm", ("main",)), AptSource("http://b.example", "bookworm", ("extra",))]
    assert find_source([*others, own], "bookworm") == own


@pytest.mark.parametrize("suite", ["", "../x", "a b", "-x", "A", "x" * 80, "a\n"])
def test_a_bad_suite(suite: str) -> None:
    with pytest.raises(Invalid, match="invalid suite"):
        check_suite(suite)


@pytest.mark.parametrize(
    "mirror", ["file:///etc", "http://", "ftp://x/y", "http://a b/", "http://x/?q", "-o", "http://u:p@x/"]
)
def test_a_bad_mirror(mirror: str) -> None:
    with pytest.raises(Invalid, match="invalid mirror"):
        check_mirror(mirror)
