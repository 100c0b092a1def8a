"""The Dockerfile's grammar, line by line."""

import pytest

from wharf.dockerfile.instructions import Arg, Cmd, Copy, Env, From, Healthcheck, OnBuild, Run, Shell, Volume
from wharf.dockerfile.parse import parse_dockerfile, parse_statement
from wharf.dockerfile.position import DockerfileError, Lines, excerpt
from wharf.dockerfile.source import read_statements


def body(text: str) -> tuple[object, ...]:
    return parse_dockerfile("FROM x\n" + text).stages[0].instructions


def one(text: str) -> object:
    (found,) = body(text)
    return found


def run_words(text: str) -> tuple[str, ...]:
    found = one(text)
    assert isinstance(found, Run)
    return found.command.words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "file with no instructions"),
        ("# only\n\n# comments\n", "file with no instructions"),
        ("RUN x", "no build stage in current context"),
        ("ARG A=1\n", "dockerfile contains no stages to build"),
        ("FROM x\nRUNN x", "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM x\nZZZZZZ x", "dockerfile parse error on line 2: unknown instruction: ZZZZZZ"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a as 1x", 'invalid name for build stage: "1x"'),
        ("FROM x\nCOPY a", "COPY requires at least two arguments"),
        ("FROM x\nCOPY --chwon=1 a b", "unknown flag: --chwon (did you mean chown?)"),
        ("FROM x\nCOPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown"),
        ("FROM x\nCOPY --link=maybe a b", "expecting boolean value for flag --link, not: maybe"),
        ("FROM x\nCOPY --link= a b", "missing a value on flag: --link"),
        ("FROM x\nCOPY --from a b c", "missing a value on flag: --from"),
        ("FROM x\nADD --from=x a b", "unknown flag: --from"),
        ("FROM x\nCOPY a <<EOF\nEOF\n", "COPY cannot accept a heredoc as a destination"),
        ("FROM x\nRUN <<EOF\necho\n", "unterminated heredoc"),
        ("FROM x\nCMD [1]", "arrays must be comprised of strings only"),
        ("FROM x\nSHELL sh -c", "SHELL requires the arguments to be in JSON form"),
        ("FROM x\nSHELL []", "SHELL requires at least one argument"),
        ("FROM x\nARG =1", "ARG names can not be blank"),
        ("FROM x\nENV a", "ENV must have two arguments"),
        ("FROM x\nENV a=1 b", 'can\'t find = in "b"'),
        ("FROM x\nVOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("FROM x\nONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("FROM x\nONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM x\nRUN --network=some a", 'invalid network mode "some"'),
        ("FROM x\nRUN --security=none a", 'security "none" is not valid'),
        ("FROM x\nRUN --mount=from=$x,target=/a a", "'from' doesn't support variable expansion"),
        ("FROM x\nHEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("FROM x\nHEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("FROM x\nHEALTHCHECK --interval=1x CMD a", 'line 2: time: unknown unit "x" in duration "1x"'),
        ("FROM x\nHEALTHCHECK --interval=5 CMD a", 'line 2: time: missing unit in duration "5"'),
        ("FROM x\nHEALTHCHECK --interval=s CMD a", 'line 2: time: invalid duration "s"'),
        ("# escape=x\nFROM x", "invalid escape token 'x' does not match ` or \\"),
        ("# syntax=a\n# syntax=b\nFROM x", "only one syntax parser directive can be used"),
        ("FROM x\nRUN " + "y" * 65536, "dockerfile line greater than max allowed size of 65535"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_buildkits_words(text: str, words: str) -> None:
    with pytest.raises(DockerfileError) as error:
        parse_dockerfile(text)
    assert words in error.value.message


def test_names_are_case_insensitive_and_kept_as_written() -> None:
    stage = parse_dockerfile("from x\nrUn true").stages[0]
    assert stage.start.name == "from" and stage.instructions[0].name == "rUn"


def test_a_byte_order_mark_is_dropped() -> None:
    assert parse_dockerfile("\ufeffFROM x").stages[0].start.image == "x"


def test_only_arg_may_stand_before_from() -> None:
    file = parse_dockerfile("ARG A=1 B\nFROM x")
    assert [(a.key, a.default) for arg in file.globals for a in arg.arguments] == [("A", "1"), ("B", None)]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN a \\\n  b", "a   b"),
        ("RUN a \\  \n b", "a  b"),
        ("RUN a \\\n# note\n   # note\nb", "a b"),
        ("RUN a \\\n\nb", "a b"),
        ("   RUN a", "a"),
        ("RUN a # b", "a # b"),
        ("RUN a\\\\\nRUN b", None),
        ("RUN a \\", "a"),
        ('RUN ["a", b]', '["a", b]'),
    ],
)
def test_lines_are_joined_and_comments_dropped(text: str, command: str | None) -> None:
    if command is None:
        assert [found.command.words for found in body(text)] == [("a\\\\",), ("b",)]  # type: ignore[attr-defined]
    else:
        assert run_words(text) == (command,)


def test_an_empty_continuation_is_remembered() -> None:
    assert parse_dockerfile("FROM x\nRUN a \\\n\nb\n").empty_continuations == (Lines(2, 4),)


def test_escape_directive_changes_continuation_and_escape() -> None:
    file = parse_dockerfile("# escape=`\nFROM x\nRUN a `\n b\nCOPY c:\\ d\\\n")
    first, second = file.stages[0].instructions
    assert isinstance(first, Run) and first.command.words == ("a  b",)
    assert isinstance(second, Copy) and second.target == "d\\"


def test_directives_end_at_the_first_line_that_is_none() -> None:
    file = parse_dockerfile("# SYNTAX = a/b:c \n# check=skip=all\n# plain\n# escape=`\nFROM x\nRUN a \\\n b")
    assert (file.syntax, file.check, file.escape) == ("a/b:c", "skip=all", "\\")


@pytest.mark.parametrize("text", ["#\n# escape=`\nFROM x", "\n# escape=`\nFROM x", "# other=1\n# escape=`\nFROM x"])
def test_a_late_directive_is_a_comment(text: str) -> None:
    assert parse_dockerfile(text).escape == "\\"


def test_flags_end_at_two_dashes_and_lose_their_quotes() -> None:
    found = one("COPY --chown=\"a b\" --exclude=*.c --exclude='x y' -- --a b")
    assert isinstance(found, Copy)
    assert (found.chown, found.excludes, found.sources, found.target) == ("a b", ("*.c", "x y"), ("--a",), "b")


def test_a_bool_flag_without_value_is_true() -> None:
    found = one("COPY --link --parents=false a b")
    assert isinstance(found, Copy) and found.link and not found.parents


def test_forms_of_from() -> None:
    start = parse_dockerfile("FROM --platform=$BUILDPLATFORM a:1@sha256:0 AS Base-1").stages[0].start
    assert start == From("FROM", "FROM --platform=$BUILDPLATFORM a:1@sha256:0 AS Base-1", Lines(1, 1), (),
                         "a:1@sha256:0", "base-1", "$BUILDPLATFORM", "AS", "Base-1")  # fmt: skip


def test_exec_form_and_shell_form() -> None:
    assert run_words('RUN ["a", "b c"]') == ("a", "b c")
    command = one("CMD a  b")
    assert isinstance(command, Cmd) and command.command.shell and command.command.words == ("a  b",)
    shell = one('SHELL ["/bin/x", "-c"]')
    assert isinstance(shell, Shell) and shell.words == ("/bin/x", "-c")


def test_pairs_new_and_old() -> None:
    new = one("ENV a=1 b=\"x y\" c='z' \\\n d=e")
    assert isinstance(new, Env)
    assert [(pair.key, pair.value) for pair in new.pairs[:3]] == [("a", "1"), ("b", '"x y"'), ("c", "'z'")]
    old = one("ENV a  b c=d")
    assert isinstance(old, Env) and old.pairs[0].legacy and old.pairs[0].value == "b c=d"


def test_arg_takes_many() -> None:
    found = one("ARG a b=1 c=")
    assert isinstance(found, Arg)
    assert [(a.key, a.default) for a in found.arguments] == [("a", None), ("b", "1"), ("c", "")]


def test_volume_as_list_or_json() -> None:
    assert [one("VOLUME /a /b"), one('VOLUME ["/a", "/b"]')] == [
        Volume("VOLUME", "VOLUME /a /b", Lines(2, 2), (), ("/a", "/b")),
        Volume("VOLUME", 'VOLUME ["/a", "/b"]', Lines(2, 2), (), ("/a", "/b")),
    ]


def test_healthcheck_flags() -> None:
    found = one("HEALTHCHECK --interval=5s --start-period=1m --start-interval=1s --timeout=1ms --retries=2 CMD a b")
    assert isinstance(found, Healthcheck)
    check = found.check
    assert (check.test, check.retries, check.interval) == (["CMD-SHELL", "a b"], 2, 5 * 10**9)
    assert (check.start_period, check.start_interval, check.timeout) == (60 * 10**9, 10**9, 10**6)


def test_onbuild_keeps_its_text_with_here_documents() -> None:
    found = one("ONBUILD COPY <<E /x\nhi\nE")
    assert isinstance(found, OnBuild) and found.trigger == "COPY <<E /x\nhi\nE"
    (again,) = read_statements(found.trigger)
    copy = parse_statement(again)
    assert isinstance(copy, Copy) and copy.files[0].text == "hi\n"


def test_a_comment_above_belongs_to_the_instruction() -> None:
    file = parse_dockerfile("FROM x\n# one\n# two\nRUN a\n# far\n\nRUN b\n#\nRUN c")
    assert [found.comments for found in file.stages[0].instructions] == [("one", "two"), (), ()]


class TestHeredocs:
    def test_a_lone_one_is_the_script(self) -> None:
        assert run_words("RUN <<EOF\na\nb $x\nEOF") == ("a\nb $x\n",)

    def test_a_shebang_makes_it_a_program(self) -> None:
        found = one("RUN <<EOF\n#!/bin/x\nprint\nEOF")
        assert isinstance(found, Run)
        assert [(file.name, file.text) for file in found.command.files] == [("EOF", "#!/bin/x\nprint\n")]

    def test_with_a_command_it_goes_to_the_shell_as_it_stood(self) -> None:
        assert run_words("RUN cat <<A 3<<-B\n1\nA\n\t2\n\tB\n") == ("cat <<A 3<<-B\n1\nA\n\t2\nB",)

    def test_copy_makes_files_of_them(self) -> None:
        found = one('COPY <<one.txt <<"two" x /d/\n$a\none.txt\n$b\ntwo\n')
        assert isinstance(found, Copy)
        assert [(file.name, file.text, file.expand) for file in found.files] == [
            ("one.txt", "$a\n", True), ("two", "$b\n", False),
        ]  # fmt: skip
        assert (found.sources, found.target) == (("x",), "/d/")

    def test_a_dash_strips_leading_tabs(self) -> None:
        found = one("COPY <<-E /x\n\t\ta\n  b\n\tE\n")
        assert isinstance(found, Copy) and found.files[0].text == "a\n  b\n"

    def test_json_form_takes_none(self) -> None:
        assert [type(x) for x in body('RUN ["cat", "<<E"]\nRUN b')] == [Run, Run]

    def test_without_a_word_it_is_none(self) -> None:
        assert run_words("RUN echo $((1 << 2))") == ("echo $((1 << 2))",)


def test_an_excerpt_marks_the_lines() -> None:
    assert excerpt("a\nb\nc\nd", Lines(2, 3), 1) == "   1 |     a\n   2 | >>> b\n   3 | >>> c\n   4 |     d"
