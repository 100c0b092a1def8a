"""Variables, quotes, escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.dockerfile.words import expand, expand_word, split_words, unquote
from wharf.errors import Invalid

VALUES = {"V": "value", "E": "", "P": "a/b/c.tar.gz", "S": "x*y?z", "_u1": "under"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$V", "value"), ("${V}", "value"), ("a${V}b", "avalueb"), ("$U", ""), ("$_u1", "under"),
        ("${U:-w}", "w"), ("${E:-w}", "w"), ("${E-w}", ""), ("${U-w}", "w"),
        ("${V:+w}", "w"), ("${E:+w}", ""), ("${E+w}", "w"), ("${U+w}", ""),
        ("${V:?no}", "value"), ("${E?no}", ""),
        ("${P#*/}", "b/c.tar.gz"), ("${P##*/}", "c.tar.gz"), ("${P%.*}", "a/b/c.tar"), ("${P%%.*}", "a/b/c"),
        ("${P#?/}", "b/c.tar.gz"), ("${P#x}", "a/b/c.tar.gz"), ("${P%}", "a/b/c.tar.gz"),
        ("${P/b/X}", "a/X/c.tar.gz"), ("${P//\\//-}", "a-b-c.tar.gz"), ("${V/a*/}", "v"), ("${V//?/z}", "zzzzz"),
        ("${S/\\*/-}", "x-y?z"), ("${S/\\?/-}", "x*y-z"), ("${S#x\\*}", "y?z"), ("${P%.tar.gz}", "a/b/c"),
        ("${U:-${V}}", "value"), ("${U:-${E:-$V}}", "value"), ("${U:-a b}", "a b"),
        ("\\$V", "$V"), ("'$V'", "$V"), ('"$V"', "value"), ('"a\\"b"', 'a"b'), ('"a\\xb"', "a\\xb"),
        ("a\\ b", "a b"), ("a\\", "a"), ("$", "$"), ("a$ b", "a$ b"), ("$@$*$#$?$-$$$!$0$9", ""), ("$1x", "x"),
        ("'a'\"b\"c", "abc"),
    ],
)  # fmt: skip
def test_forms(text: str, result: str) -> None:
    assert expand(text, VALUES) == result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${V", "missing '}'"), ("${", "missing '}'"), ("${}", "bad substitution"), ("${:x}", "bad substitution"),
        ("${{V}}", "bad substitution"), ("${V:x}", "unsupported modifier (:x) in substitution"),
        ("${V=x}", "unsupported modifier (=) in substitution"), ("${V:#x}", "unsupported modifier (:#)"),
        ("${U:?}", "U: is not allowed to be unset"), ("${E:?}", "E: is not allowed to be empty"),
        ("${U?say why}", "U: say why"), ("${P#\\a}", "invalid escape '\\a'"), ("${V/a", "missing '/'"),
        ("'a", "matching single-quote"), ('"a', "matching double-quote"),
        ("${a:-" * 20 + "}" * 20, "nested too deep"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid) as error:
        expand(text, VALUES)
    assert words in error.value.message


def test_the_names_met_are_told() -> None:
    found = expand_word("$V ${U:-$W} ${E}", VALUES)
    assert (set(found.used), set(found.missing)) == ({"V", "E"}, {"U", "W"})


def test_another_escape() -> None:
    assert expand("a`$V \\$V", VALUES, "`") == "a$V \\value"


def test_here_documents_keep_quotes() -> None:
    assert expand_word("a '$V' \"x\" \\$V", VALUES, quotes=False).text == "a 'value' \"x\" $V"


def test_words_keep_quotes() -> None:
    assert split_words('a=\'b c\' "d\\" e" f\\ g') == ["a='b c'", '"d\\" e"', "f\\ g"]


def test_unquote_leaves_dollars() -> None:
    assert unquote("'a'\"$b\"") == "a$b"


def test_doubling_is_bounded() -> None:
    values = {"A": "x" * (1 << 19)}
    with pytest.raises(Invalid, match="longer than"):
        expand("$A$A$A", values)


def test_patterns_do_not_run_away() -> None:
    values = {"A": "a" * 5000}
    assert expand("${A##" + "*a" * 30 + "b}", values) == values["A"]


@given(st.text(alphabet="$V{}:-+?#%/\\'\"ab* ", max_size=30))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        expand(text, VALUES)
    except Invalid:
        return
