"""The build checks that need only the text."""

import pytest

from wharf.dockerfile.checks import RULES, Checks, check_text, parse_options
from wharf.dockerfile.parse import parse_dockerfile
from wharf.errors import Invalid


def found(text: str, options: str = "") -> list[tuple[str, str, int]]:
    checks = Checks(parse_options(options))
    check_text(parse_dockerfile(text), checks)
    return [(finding.rule, finding.message, finding.lines.first) for finding in checks.findings]


@pytest.mark.parametrize(
    ("text", "rule", "message", "line"),
    [
        ("FROM x AS Base", "StageNameCasing", "Stage name 'Base' should be lowercase", 1),
        ("FROM x as b", "FromAsCasing", "'as' and 'FROM' keywords' casing do not match", 1),
        ("FROM x\nRUN a \\\n\nb", "NoEmptyContinuation", "Empty continuation line", 4),
        ("FROM x\nRUN a\nrun b", "ConsistentInstructionCasing",
         "Command 'run' should match the case of the command majority (uppercase)", 3),
        ("from x\nrun a\nRun b", "ConsistentInstructionCasing",
         "Command 'Run' should match the case of the command majority (lowercase)", 3),
        ("FROM x AS a\nFROM y AS a", "DuplicateStageName",
         'Duplicate stage name "a", stage names should be unique', 2),
        ("FROM x AS scratch", "ReservedStageName",
         'Stage name should not use the same name as reserved stage "scratch"', 1),
        ("FROM x\nMAINTAINER me", "MaintainerDeprecated",
         "Maintainer instruction is deprecated in favor of using label", 2),
        ("FROM x\nWORKDIR a", "WorkdirRelativePath",
         'Relative workdir "a" can have unexpected results if the base image changes', 2),
        ('FROM x\nCMD ["a"]\nCMD ["b"]', "MultipleInstructionsDisallowed",
         "Multiple CMD instructions should not be used in the same stage because only the last one will be used", 2),
        ("FROM x\nENV a b", "LegacyKeyValueFormat",
         '"ENV key=value" should be used instead of legacy "ENV key value" format', 2),
        ("FROM x\nARG api_key", "SecretsUsedInArgOrEnv",
         'Do not use ARG or ENV instructions for sensitive data (ARG "api_key")', 2),
        ("FROM x\nEXPOSE 80/TCP", "ExposeProtoCasing",
         "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase", 2),
        ("FROM x\nEXPOSE 1.2.3.4:80:80", "ExposeInvalidFormat",
         "EXPOSE instruction should not define an IP address or host-port mapping, found '1.2.3.4:80:80'", 2),
    ],
)  # fmt: skip
def test_each_rule_is_reported_with_its_words(text: str, rule: str, message: str, line: int) -> None:
    assert found(text) == [(rule, message, line)]


def test_there_are_22_rules() -> None:
    assert len(RULES) == 22


def test_an_experimental_rule_must_be_asked_for() -> None:
    text = "# the base\nFROM x AS base"
    assert found(text) == []
    assert found(text, "experimental=all")[0][:2] == (
        "InvalidDefinitionDescription", "Comment for FROM should follow the format: `# base <description>`",
    )  # fmt: skip


def test_rules_are_skipped_by_name_by_file_or_for_one_instruction() -> None:
    text = "FROM x\nMAINTAINER me\nWORKDIR a"
    assert [rule for rule, _, _ in found(text, "skip=MaintainerDeprecated")] == ["WorkdirRelativePath"]
    assert found(text, "skip=all") == []
    assert found("FROM x\n# check=skip=MaintainerDeprecated because\nMAINTAINER me") == []


def test_public_names_are_no_secrets() -> None:
    assert found("FROM x\nENV PUBLIC_KEY=1\nARG TOKEN_FILE\nARG monkey") == []


def test_findings_may_be_made_errors() -> None:
    checks = Checks(parse_options("error=true"))
    check_text(parse_dockerfile("FROM x\nMAINTAINER me"), checks)
    with pytest.raises(Invalid, match="lint violation found for rules: MaintainerDeprecated"):
        checks.raise_if_errors()


@pytest.mark.parametrize("bad", ["skip", "error=maybe", "what=1"])
def test_options_are_checked(bad: str) -> None:
    with pytest.raises(Invalid, match="failed to parse check options"):
        parse_options(bad)
