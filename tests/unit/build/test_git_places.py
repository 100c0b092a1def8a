"""Where repositories are, and what builds refuse to connect to."""

import pytest

from wharf.build.git_url import git_source
from wharf.build.ops.git import Place, _joined, place_of
from wharf.errors import Invalid


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("git@host.example:a/b.git", Place("ssh", "host.example", 22)),
        ("ssh://git@host.example:2222/a.git", Place("ssh", "host.example", 2222)),
        ("ssh://[::1]/a.git", Place("ssh", "::1", 22)),
        ("https://host.example/a.git", Place("https", "host.example", 443)),
        ("git://host.example/a.git", Place("git", "host.example", 9418)),
    ],
)
def test_places(url: str, place: Place) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url",
    ["file:///etc", "/etc", "ext::sh -c x", "ssh://-oProxyCommand=x/y", "git@-oProxyCommand=x:y", "ssh:///x",
     "http://host:port/x.git", "ftp://host/x.git"],
)  # fmt: skip
def test_what_is_no_place(url: str) -> None:
    with pytest.raises(Invalid):
        place_of(url)


@pytest.mark.parametrize(
    ("origin", "url", "joined"),
    [
        ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
        ("ssh://u@h:22/a/b.git", "../../c.git", "ssh://u@h:22/c.git"),
        ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
        ("https://h/a/b.git", "./c.git", "https://h/a/b.git/c.git"),
        ("https://h/a/b.git", "https://other/c.git", "https://other/c.git"),
        ("https://h/a/b.git", "/etc", "/etc"),
    ],
)
def test_a_submodule_may_be_relative(origin: str, url: str, joined: str) -> None:
    assert _joined(origin, url) == joined


def test_submodules_may_be_left_out() -> None:
    for query, wanted in (("", True), ("?submodules=false", False), ("?submodules=1", True), ("?submodules=0", False)):
        source = git_source(f"https://h/a.git{query}")
        assert source is not None and source.submodules is wanted
