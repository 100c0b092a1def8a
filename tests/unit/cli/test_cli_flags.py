"""pflag's rules for flags, and docker's words for what is wrong with them."""

import pytest

from wharf.cli.flags import ANY, Command, HelpWanted, UsageError

COMMAND = Command(
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run",
    (
        ("detach", "d", "bool", "In the background"),
        ("env", "e", "list", "Environment"),
        ("interactive", "i", "bool", "Keep STDIN open"),
        ("memory", "m", "bytes", "Memory"),
        ("cpus", "", "decimal", "CPUs"),
        ("name", "", "string", "Name"),
        ("pids-limit", "", "int", "Pids"),
        ("tty", "t", "bool", "Terminal"),
    ),
    operands=(1, ANY),
    interspersed=False,
)


def test_short_flags_combine_and_values_stand_where_pflag_takes_them() -> None:
    flags, rest = COMMAND.parse(
        ["-itd", "-e", "A=1", "-eB=2", "-e=C", "--name=x", "-m", "64m", "--cpus", "1.5", "img", "-x"]
    )
    assert flags == {
        "interactive": True, "tty": True, "detach": True, "env": ["A=1", "B=2", "C"], "name": "x",
        "memory": 64 << 20, "cpus": 1500000000,
    }  # fmt: skip
    assert rest == ["img", "-x"]


def test_two_dashes_end_the_flags_and_a_bool_can_be_false() -> None:
    assert COMMAND.parse(["--detach=false", "--", "-d"]) == ({"detach": False}, ["-d"])


@pytest.mark.parametrize(
    ("args", "message", "status"),
    [
        (["--foo"], "unknown flag: --foo", 125),
        (["-tx"], "unknown shorthand flag: 'x' in -tx", 125),
        (["--name"], "flag needs an argument: --name", 125),
        (["-dm"], "flag needs an argument: 'm' in -dm", 125),
        (["--=x"], "bad flag syntax: --=x", 125),
        (["-mx", "i"], """invalid argument "x" for "-m, --memory" flag: invalid size: 'x'""", 125),
        (
            ["--pids-limit", "z", "i"],
            'invalid argument "z" for "--pids-limit" flag: strconv.ParseInt: parsing "z"',
            125,
        ),
        (["--cpus", "a", "i"], 'invalid argument "a" for "--cpus" flag: failed to parse a as a rational number', 125),
        (["--detach=x", "i"], 'strconv.ParseBool: parsing "x": invalid syntax', 125),
        ([], "wharf: 'wharf run' requires at least 1 argument", 1),
    ],
)
def test_a_wrong_command_line_is_refused_in_dockers_words(args: list[str], message: str, status: int) -> None:
    with pytest.raises(UsageError) as refused:
        COMMAND.parse(args)
    assert message in refused.value.message
    assert "Usage:  wharf run [OPTIONS] IMAGE [COMMAND] [ARG...]" in refused.value.message
    assert refused.value.status == status


def test_help_is_asked_for_anywhere_among_the_flags_but_not_behind_the_image() -> None:
    with pytest.raises(HelpWanted, match="-e, --env list"):
        COMMAND.parse(["-d", "--help"])
    assert COMMAND.parse(["img", "--help"])[1] == ["img", "--help"]


@pytest.mark.parametrize(
    ("operands", "given", "text"),
    [((0, 0), 1, "accepts no arguments"), ((2, 2), 1, "requires 2 arguments"), ((1, 1), 2, "requires 1 argument")],
)
def test_the_number_of_operands_is_checked(operands: tuple[int, int], given: int, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Command("x", "", "", operands=operands).parse(["a"] * given)
