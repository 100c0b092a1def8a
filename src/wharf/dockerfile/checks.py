"""Build checks: the rules by name, what `# check=` makes of them, and those that need only the text.

The rules about variables and base images are reported by what lowers a file, through the same `Checks`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from wharf.dockerfile.instructions import (
    Arg,
    Cmd,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Stage,
    Workdir,
)
from wharf.dockerfile.ports import split_port
from wharf.dockerfile.position import Lines
from wharf.errors import Invalid
from wharf.spec.quote import go_quote

RULES = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "MaintainerDeprecated": "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results "
        "if the base image changes"
    ),
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "InvalidBaseImagePlatform": "Base image platform does not match expected target platform",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the instruction "
        "and the comment."
    ),
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": (
        "IP address and host-port mapping should not be used in EXPOSE instruction. "
        "This will become an error in a future release"
    ),
}
"""Name: what the rule is about."""
EXPERIMENTAL = frozenset({"CopyIgnoredFile", "InvalidDefinitionDescription"})
RESERVED_STAGES = ("context", "scratch")
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NOT_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_CHECK_COMMENT = re.compile(r"check\s*=\s*(\S+)", re.IGNORECASE)
MAX_FINDINGS = 1000
"""More are not told of one build."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning: the rule, its message, where."""

    rule: str
    message: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class Options:
    """What `check=` says. `skip` and `experimental` hold rule names, or `all`."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False


def parse_options(text: str) -> Options:
    """`skip=A,B|all;error=true;experimental=A|all`; raises Invalid."""
    options = Options()
    for part in text.strip().split(";", 2) if text.strip() else ():
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals:
            raise Invalid(f"failed to parse check options: invalid check option {go_quote(part)}")
        if key in ("skip", "experimental"):
            names = frozenset(name.strip() for name in value.split(","))
            options = replace(options, **{key: names})  # type: ignore[arg-type]
        elif key == "error" and value.lower() in ("1", "t", "true", "0", "f", "false"):
            options = replace(options, error=value.lower() in ("1", "t", "true"))
        else:
            raise Invalid(f"failed to parse check options: invalid check option {go_quote(key)}")
    return options


@dataclass(slots=True)
class Checks:
    """Gathers findings; rules that are off are not reported."""

    options: Options = field(default_factory=Options)
    findings: list[Finding] = field(default_factory=list)
    _known: set[Finding] = field(default_factory=set)

    def report(self, rule: str, message: str, lines: Lines, comments: Sequence[str] = ()) -> None:
        """One finding, unless the file or a comment right above the instruction skips the rule."""
        options = _with_comments(self.options, comments)
        if rule in EXPERIMENTAL:
            on = bool(options.experimental & {rule, "all"})
        else:
            on = not options.skip & {rule, "all"}
        finding = Finding(rule, message, lines)
        if on and finding not in self._known and len(self.findings) < MAX_FINDINGS:
            self._known.add(finding)
            self.findings.append(finding)

    def raise_if_errors(self) -> None:
        """Raises Invalid where `error=true` and something was found."""
        if self.options.error and self.findings:
            rules = sorted({finding.rule for finding in self.findings})
            raise Invalid(f"lint violation found for rules: {', '.join(rules)}")


def _with_comments(options: Options, comments: Sequence[str]) -> Options:
    for comment in comments:
        match = _CHECK_COMMENT.match(comment)
        if match is None:
            continue
        try:
            local = parse_options(match.group(1))
        except Invalid:
            return options
        return replace(options, skip=options.skip | local.skip, experimental=options.experimental | local.experimental)
    return options


def check_text(file: Dockerfile, checks: Checks) -> None:
    """Every rule that needs neither variables nor images."""
    for lines in file.empty_continuations:
        checks.report("NoEmptyContinuation", "Empty continuation line", Lines(lines.last, lines.last))
    _check_stage_names(file.stages, checks)
    _check_case([*(stage.start for stage in file.stages), *_bodies(file.stages)], checks)
    for arg in file.globals:
        _check_description("ARG", [argument.key for argument in arg.arguments], arg, checks)
    for stage in file.stages:
        _check_from(stage, checks)
        _check_stage(stage, checks)


def _bodies(stages: Iterable[Stage]) -> list[Instruction]:
    return [instruction for stage in stages for instruction in stage.instructions]


def _check_stage_names(stages: Sequence[Stage], checks: Checks) -> None:
    seen = set()
    for stage in stages:
        name, start = stage.name, stage.start
        if name in RESERVED_STAGES:
            message = f"Stage name should not use the same name as reserved stage {go_quote(name)}"
            checks.report("ReservedStageName", message, start.lines, start.comments)
        if name and name in seen:
            message = f"Duplicate stage name {go_quote(name)}, stage names should be unique"
            checks.report("DuplicateStageName", message, start.lines, start.comments)
        seen.add(name)


def _check_case(instructions: list[Instruction], checks: Checks) -> None:
    instructions = sorted(instructions, key=lambda instruction: instruction.lines.first)
    lower = sum(instruction.name.islower() for instruction in instructions)
    upper = sum(instruction.name.isupper() for instruction in instructions)
    wanted = "lowercase" if lower > upper else "uppercase"
    for instruction in instructions:
        right = instruction.name.islower() if lower > upper else instruction.name.isupper()
        if not right:
            message = f"Command '{instruction.name}' should match the case of the command majority ({wanted})"
            checks.report("ConsistentInstructionCasing", message, instruction.lines, instruction.comments)


def _check_from(stage: Stage, checks: Checks) -> None:
    start = stage.start
    if start.stage_as_written != start.stage:
        message = f"Stage name '{start.stage_as_written}' should be lowercase"
        checks.report("StageNameCasing", message, start.lines, start.comments)
    odd = (start.name.islower() and not start.as_word.islower()) or (
        start.name.isupper() and not start.as_word.isupper()
    )
    if start.as_word and odd:
        message = f"'{start.as_word}' and '{start.name}' keywords' casing do not match"
        checks.report("FromAsCasing", message, start.lines, start.comments)
    if start.stage:
        _check_description("FROM", [start.stage], start, checks)


def _check_description(name: str, keys: list[str], instruction: Instruction, checks: Checks) -> None:
    if not instruction.comments or instruction.comments[-1].split(" ")[0] in keys:
        return
    example = keys[0] if len(keys) == 1 else "<arg_key>"
    message = f"Comment for {name} should follow the format: `# {example} <description>`"
    checks.report("InvalidDefinitionDescription", message, instruction.lines, instruction.comments)


def _check_stage(stage: Stage, checks: Checks) -> None:
    last: dict[type[Instruction], Instruction] = {}
    workdir_seen = False
    for instruction in stage.instructions:
        kind = type(instruction)
        if kind in (Cmd, Entrypoint, Healthcheck):
            before = last.get(kind)
            if before is not None:
                message = (
                    f"Multiple {instruction.name} instructions should not be used in the same stage "
                    "because only the last one will be used"
                )
                checks.report("MultipleInstructionsDisallowed", message, before.lines, instruction.comments)
            last[kind] = instruction
        if isinstance(instruction, Workdir):
            if not workdir_seen and not instruction.path.startswith(("/", "$")):
                path = go_quote(instruction.path)
                message = f"Relative workdir {path} can have unexpected results if the base image changes"
                checks.report("WorkdirRelativePath", message, instruction.lines, instruction.comments)
            workdir_seen = True
        _check_instruction(instruction, checks)


def _check_instruction(instruction: Instruction, checks: Checks) -> None:
    where = (instruction.lines, instruction.comments)
    if isinstance(instruction, Env | Label) and any(pair.legacy for pair in instruction.pairs):
        name = instruction.name
        message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
        checks.report("LegacyKeyValueFormat", message, *where)
    if isinstance(instruction, Env):
        for pair in instruction.pairs:
            check_secret("ENV", pair.key, instruction, checks)
    if isinstance(instruction, Arg):
        keys = [argument.key for argument in instruction.arguments]
        for key in keys:
            check_secret("ARG", key, instruction, checks)
        _check_description("ARG", keys, instruction, checks)
    if isinstance(instruction, Maintainer):
        checks.report("MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", *where)
    if isinstance(instruction, Expose):
        for port in instruction.ports:
            _check_port(port, instruction, checks)


def check_secret(name: str, key: str, instruction: Instruction, checks: Checks) -> None:
    """A name that tells of a password has no place in an image."""
    if _SECRET.search(key) and not _NOT_SECRET.search(key):
        message = f"Do not use ARG or ENV instructions for sensitive data ({name} {go_quote(key)})"
        checks.report("SecretsUsedInArgOrEnv", message, instruction.lines, instruction.comments)


def _check_port(port: str, instruction: Expose, checks: Checks) -> None:
    address, host, inner = split_port(port)
    protocol = inner.partition("/")[2]
    if protocol != protocol.lower():
        message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
        checks.report("ExposeProtoCasing", message, instruction.lines, instruction.comments)
    if address or host:
        message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        checks.report("ExposeInvalidFormat", message, instruction.lines, instruction.comments)
