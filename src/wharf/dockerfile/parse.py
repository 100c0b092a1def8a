"""Statements to instructions, and a file to its stages."""

import re
from collections.abc import Callable

from wharf.dockerfile.flags import Flags, Kind
from wharf.dockerfile.forms import exec_form, list_form
from wharf.dockerfile.health import parse_healthcheck
from wharf.dockerfile.heredoc import Heredoc, parse_heredoc
from wharf.dockerfile.instructions import (
    Arg,
    Argument,
    Cmd,
    CommandLine,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    InlineFile,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from wharf.dockerfile.position import DockerfileError, Lines, UnreadableDockerfile
from wharf.dockerfile.run_mount import check_mount_text
from wharf.dockerfile.source import Statement, read_document
from wharf.dockerfile.suggest import hint
from wharf.dockerfile.words import split_words
from wharf.errors import Invalid
from wharf.spec.quote import go_quote

MAX_STAGES = 10_000
MAX_INSTRUCTIONS = 10_000
"""Of one stage: overlayfs stacks 500 layers, and the history has a line for each of the others."""
_BLANKS = re.compile(r"[\t\v\f\r ]+")
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*\Z")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_COPY_FLAGS = {
    "chown": Kind.TEXT,
    "chmod": Kind.TEXT,
    "link": Kind.BOOL,
    "exclude": Kind.LIST,
}
_FLAGS: dict[str, dict[str, Kind]] = {
    "FROM": {"platform": Kind.TEXT},
    "COPY": {**_COPY_FLAGS, "from": Kind.TEXT, "parents": Kind.BOOL},
    "ADD": {**_COPY_FLAGS, "keep-git-dir": Kind.BOOL, "checksum": Kind.TEXT, "unpack": Kind.BOOL},
    "RUN": {"mount": Kind.LIST, "network": Kind.TEXT, "security": Kind.TEXT, "device": Kind.LIST},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), Kind.TEXT),
}
_Common = tuple[str, str, Lines, tuple[str, ...]]


def parse_dockerfile(text: str) -> Dockerfile:
    """A file's arguments and stages. Raises DockerfileError, with BuildKit's words and the lines at fault."""
    document = read_document(text)
    escape = document.directives.escape
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for statement in document.statements:
        instruction = parse_statement(statement, escape)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            if len(stages[-1][1]) == MAX_INSTRUCTIONS:
                raise DockerfileError(f"a stage has more than {MAX_INSTRUCTIONS} instructions", statement.lines)
            stages[-1][1].append(instruction)
        elif len(global_args) == MAX_INSTRUCTIONS:
            raise DockerfileError(f"more than {MAX_INSTRUCTIONS} instructions before the first FROM", statement.lines)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            raise DockerfileError("no build stage in current context", statement.lines)
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build")
    if len(stages) > MAX_STAGES:
        raise DockerfileError(f"the Dockerfile has more than {MAX_STAGES} stages", stages[MAX_STAGES][0].lines)
    return Dockerfile(
        text,
        escape,
        document.directives.check,
        document.directives.syntax,
        tuple(global_args),
        tuple(Stage(start, tuple(body)) for start, body in stages),
        tuple(statement.lines for statement in document.statements if statement.empty_continuation),
    )


def parse_statement(statement: Statement, escape: str = "\\") -> Instruction:
    """One instruction; raises DockerfileError."""
    name = statement.name.upper()
    try:
        parser = _PARSERS.get(name)
        if parser is None:
            raise Invalid(f"unknown instruction: {statement.name}{hint(statement.name, _PARSERS, any_case=True)}")
        flags = Flags(statement.flags, _FLAGS.get(name, {}))
        common = (statement.name, statement.original.strip(), statement.lines, statement.comments)
        return parser(statement, flags, common, escape)
    except DockerfileError:
        raise
    except Invalid as error:
        message = f"dockerfile parse error on line {statement.lines.first}: {error.message}"
        raise DockerfileError(message, statement.lines, error.message) from None


def _one(statement: Statement) -> str:
    if not statement.rest:
        raise Invalid(f"{statement.name.upper()} requires exactly one argument")
    return statement.rest


def _from(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    words = _BLANKS.split(statement.rest) if statement.rest else []
    if len(words) == 1:
        return From(*common, words[0], "", flags.text("platform"), "", "")
    if len(words) != 3 or words[1].lower() != "as":
        raise Invalid("FROM requires either one or three arguments")
    stage = words[2].lower()
    if not _STAGE_NAME.match(stage):
        raise Invalid(
            f"invalid name for build stage: {go_quote(words[2])}, name can't start with a number or contain symbols"
        )
    return From(*common, words[0], stage, flags.text("platform"), words[1], words[2])


def _arg(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    words = split_words(statement.rest, escape)
    if not words:
        raise Invalid("ARG requires at least one argument")
    found = []
    for word in words:
        key, equals, default = word.partition("=")
        if not key:
            raise Invalid("ARG names can not be blank")
        found.append(Argument(key, default if equals else None))
    return Arg(*common, tuple(found))


def _pairs(statement: Statement, escape: str) -> tuple[Pair, ...]:
    """`k=v k2="v 2"`, or the old `k v…`."""
    name = statement.name.upper()
    words = split_words(statement.rest, escape)
    if not words:
        raise Invalid(f"{name} requires at least one argument")
    if "=" not in words[0]:
        parts = _BLANKS.split(statement.rest, maxsplit=1)
        if len(parts) < 2:
            raise UnreadableDockerfile(f"{name} must have two arguments", statement.lines)
        return (Pair(parts[0], parts[1], legacy=True),)
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            reason = f"Syntax error - can't find = in {go_quote(word)}. Must be of the form: name=value"
            raise UnreadableDockerfile(reason, statement.lines)
        if not key:
            raise Invalid(f"{name} names can not be blank")
        pairs.append(Pair(key, value))
    return tuple(pairs)


def _env(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Env(*common, _pairs(statement, escape))


def _label(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Label(*common, _pairs(statement, escape))


def _command(statement: Statement) -> CommandLine:
    words = exec_form(statement.rest)
    if words is not None:
        return CommandLine(words, shell=False)
    files = tuple(InlineFile(doc.name, doc.content, doc.expand) for doc in statement.heredocs)
    return CommandLine((statement.rest,) if statement.rest else (), True, files)


def _run(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    command = _command(statement)
    if not command.words and not command.files:
        raise Invalid("RUN requires at least one argument")
    if command.files:
        command = _run_with_files(statement.rest, statement.heredocs)
    mounts = flags.all("mount")
    for text in mounts:
        check_mount_text(text)
    network, security = flags.text("network"), flags.text("security")
    if network not in ("", "default", "none", "host"):
        raise Invalid(f"invalid network mode {go_quote(network)}")
    if security not in ("", "sandbox", "insecure"):
        raise Invalid(f"security {go_quote(security)} is not valid")
    return Run(*common, command, mounts, network, security, flags.all("device"))


def _run_with_files(rest: str, docs: tuple[Heredoc, ...]) -> CommandLine:
    """One lone here-document is a script; others are put back as they stood, for the shell to read."""
    if parse_heredoc(rest) is not None:
        text = docs[0].text()
        script = (InlineFile(docs[0].name, text, False),) if text.startswith("#!") else ()
        return CommandLine((text,), True, script)
    bodies = "".join(f"\n{doc.content}{doc.name}" for doc in docs)
    return CommandLine((rest + bodies,), True)


def _copy(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    name = statement.name.upper()
    words = list_form(statement.rest)
    if len(words) < 2:
        raise Invalid(
            f"{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    if parse_heredoc(words[-1]) is not None:
        raise Invalid(f"{name} cannot accept a heredoc as a destination")
    docs = {doc.name: doc for doc in statement.heredocs}
    sources, files = [], []
    for word in words[:-1]:
        asked = parse_heredoc(word)
        if asked is not None and asked.name in docs:
            doc = docs[asked.name]
            files.append(InlineFile(doc.name, doc.text(), doc.expand))
        else:
            sources.append(word)
    return Copy(
        *common,
        add=name == "ADD",
        sources=tuple(sources),
        files=tuple(files),
        target=words[-1],
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.is_set("link"),
        excludes=flags.all("exclude"),
        origin=flags.text("from"),
        parents=flags.is_set("parents"),
        keep_git=flags.maybe("keep-git-dir"),
        checksum=flags.text("checksum"),
        unpack=flags.maybe("unpack"),
    )


def _cmd(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Cmd(*common, _command(statement))


def _entrypoint(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Entrypoint(*common, _command(statement))


def _shell(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    words = exec_form(statement.rest)
    if not statement.rest or words == ():
        raise Invalid("SHELL requires at least one argument")
    if words is None:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    return Shell(*common, words)


def _expose(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    if not statement.rest:
        raise Invalid("EXPOSE requires at least one argument")
    return Expose(*common, tuple(sorted(_BLANKS.split(statement.rest))))


def _volume(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    words = list_form(statement.rest)
    if not words:
        raise Invalid("VOLUME requires at least one argument")
    paths = tuple(word.strip() for word in words)
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return Volume(*common, paths)


def _user(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return User(*common, _one(statement))


def _workdir(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Workdir(*common, _one(statement))


def _stop_signal(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return StopSignal(*common, _one(statement))


def _maintainer(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Maintainer(*common, _one(statement))


def _healthcheck(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    return Healthcheck(*common, parse_healthcheck(flags, statement.rest))


def _on_build(statement: Statement, flags: Flags, common: _Common, escape: str) -> Instruction:
    trigger = _BLANKS.split(statement.rest, maxsplit=1)[0].upper()
    if not trigger:
        raise Invalid("ONBUILD requires at least one argument")
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", statement.original, count=1)
    bodies = "".join(f"\n{doc.content}{doc.name}" for doc in statement.heredocs)
    return OnBuild(*common, text + bodies)


_PARSERS: dict[str, Callable[[Statement, Flags, _Common, str], Instruction]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
