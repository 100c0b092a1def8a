"""`.dockerignore`."""

import pytest

from wharf.dockerfile.ignore import IgnoreRules, read_ignore
from wharf.errors import Invalid


def test_a_file_is_read_line_by_line() -> None:
    text = "\ufeffa\n# note\n #kept\n\n  /b/  \n!c/../d\n./e\n!  f \n"
    assert read_ignore(text) == ("a", "#kept", "b", "!d", "e", "!f")


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        (["a"], "a", True), (["a"], "a/b/c", True), (["a"], "ab", False), (["a"], "x/a", False),
        (["*"], "a", True), (["*"], "a/b", True), (["*.c"], "x.c", True), (["*.c"], "d/x.c", False),
        (["*/x"], "d/x", True), (["a?"], "ab", True), (["a?"], "a/", False), (["[a-c]x"], "bx", True),
        (["[^a]x"], "ax", False), (["a\\*"], "a*", True), (["a\\*"], "ab", False),
        (["**/x"], "x", True), (["**/x"], "a/b/x", True), (["a/**"], "a/b/c", True), (["**"], "any/thing", True),
        (["**/*.c"], "a/b.c", True), (["a/**/z"], "a/z", True), (["a/**/z"], "a/b/c/z", True),
        (["*", "!a"], "a", False), (["*", "!a"], "a/b", False), (["!a", "*"], "a", True),
        (["d", "!d/keep"], "d/keep", False), (["d", "!d/keep"], "d/x", True), (["*", "!d/keep", "d/keep/no"],
         "d/keep/no", True),
    ],
)  # fmt: skip
def test_patterns(patterns: list[str], path: str, ignored: bool) -> None:
    assert IgnoreRules(patterns).ignored(path) is ignored


def test_a_directory_is_walked_where_an_exception_may_match() -> None:
    rules = IgnoreRules(["a", "b", "!a/x/*.txt"])
    assert not rules.prunes("a") and not rules.prunes("a/x") and rules.prunes("b") and rules.prunes("a/y")


@pytest.mark.parametrize("bad", ["!", "[", "a[", "[]", "[a-", "[-a]"])
def test_a_pattern_that_cannot_be_is_refused(bad: str) -> None:
    with pytest.raises(Invalid):
        IgnoreRules([bad])
