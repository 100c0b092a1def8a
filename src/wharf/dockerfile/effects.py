"""What the instructions that touch no file do to an image's configuration, and how they read in its history.

Shared by builds, `commit --change` and `import --change`. Variables are expanded by the caller's `Words`, which also
knows who asks, for the checks.
"""

import posixpath
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from wharf.dockerfile.instructions import (
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    OnBuild,
    Pair,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from wharf.dockerfile.ports import exposed_ports
from wharf.dockerfile.signals import check_signal
from wharf.errors import Invalid
from wharf.spec.image import HealthConfig, ImageConfig
from wharf.spec.quote import go_char, go_duration, go_quote

DEFAULT_SHELL = ("/bin/sh", "-c")
Words = Callable[[str], str]
"""Puts variables into a word and takes its quotes off; raises Invalid."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A configuration after an instruction, and the line that its history gets (empty: none)."""

    config: ImageConfig
    history: str


def variables_of(config: ImageConfig) -> dict[str, str]:
    """The environment as a mapping; the first of a name counts."""
    found: dict[str, str] = {}
    for item in config.env:
        key, _, value = item.partition("=")
        found.setdefault(key, value)
    return found


def apply_effect(config: ImageConfig, instruction: Instruction, words: Words) -> Effect | None:
    """The effect of an instruction; None for one that does more than change the configuration. Raises Invalid."""
    match instruction:
        case Cmd():
            return _cmd(config, instruction, words)
        case Entrypoint():
            return _entrypoint(config, instruction, words)
        case Env():
            return _env(config, instruction, words)
        case Expose():
            return _expose(config, instruction, words)
        case Healthcheck():
            return _healthcheck(config, instruction, words)
        case Label():
            return _label(config, instruction, words)
        case OnBuild():
            return _on_build(config, instruction, words)
        case Shell():
            return _shell(config, instruction, words)
        case StopSignal():
            return _stop_signal(config, instruction, words)
        case User():
            return _user(config, instruction, words)
        case Volume():
            return _volume(config, instruction, words)
        case Workdir():
            return _workdir(config, instruction, words)
        case _:
            return None


def with_env(env: tuple[str, ...], key: str, value: str) -> tuple[str, ...]:
    """The environment with one more variable, or with a new value where it stood."""
    at = next((n for n, item in enumerate(env) if item.partition("=")[0] == key), len(env))
    return (*env[:at], f"{key}={value}", *env[at + 1 :])


def resolve_workdir(current: str, path: str) -> str:
    """An absolute, clean path; a relative one is below the current directory."""
    # normpath keeps a leading "//" (POSIX lets it mean something); a container's root has no such meaning.
    return "/" + posixpath.normpath(posixpath.join(current or "/", path)).lstrip("/")


def shell_words(config: ImageConfig, command: CommandLine) -> tuple[str, ...]:
    """What is executed: shell form has the shell before it."""
    return (*(config.shell or DEFAULT_SHELL), *command.words) if command.shell else command.words


def _expanded(pairs: tuple[Pair, ...], words: Words) -> list[tuple[str, str]]:
    found = [(words(pair.key), words(pair.value)) for pair in pairs]
    if not all(key for key, _ in found):
        raise Invalid("names can not be blank")
    return found


def _env(config: ImageConfig, instruction: Env, words: Words) -> Effect:
    env = config.env
    pairs = _expanded(instruction.pairs, words)
    for key, value in pairs:
        env = with_env(env, key, value)
    return Effect(replace(config, env=env), "ENV " + " ".join(f"{key}={value}" for key, value in pairs))


def _label(config: ImageConfig, instruction: Label, words: Words) -> Effect:
    pairs = _expanded(instruction.pairs, words)
    labels = {**config.labels, **dict(pairs)}
    return Effect(replace(config, labels=labels), "LABEL " + " ".join(f"{key}={value}" for key, value in pairs))


def _cmd(config: ImageConfig, instruction: Cmd, words: Words) -> Effect:
    argv = shell_words(config, instruction.command) or None
    return Effect(replace(config, cmd=argv, args_escaped=True), f"CMD {_go_list(argv or ())}")


def _entrypoint(config: ImageConfig, instruction: Entrypoint, words: Words) -> Effect:
    argv = shell_words(config, instruction.command) or None
    return Effect(replace(config, entrypoint=argv), f"ENTRYPOINT {_go_list(argv or ())}")


def _go_list(argv: tuple[str, ...]) -> str:
    return "[" + " ".join(go_quote(word) for word in argv) + "]"


def _shell(config: ImageConfig, instruction: Shell, words: Words) -> Effect:
    return Effect(replace(config, shell=instruction.words), f"SHELL [{' '.join(instruction.words)}]")


def _expose(config: ImageConfig, instruction: Expose, words: Words) -> Effect:
    ports = [port for item in instruction.ports for word in words(item).split() for port in exposed_ports(word)]
    merged = tuple(sorted({*config.exposed_ports, *ports}))
    return Effect(replace(config, exposed_ports=merged), f"EXPOSE [{' '.join(ports)}]")


def _volume(config: ImageConfig, instruction: Volume, words: Words) -> Effect:
    paths = [words(path).strip() for path in instruction.paths]
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    merged = tuple(sorted({*config.volumes, *paths}))
    return Effect(replace(config, volumes=merged), f"VOLUME [{' '.join(paths)}]")


def _user(config: ImageConfig, instruction: User, words: Words) -> Effect:
    user = words(instruction.user)
    return Effect(replace(config, user=user), f"USER {user}")


def _workdir(config: ImageConfig, instruction: Workdir, words: Words) -> Effect:
    path = resolve_workdir(config.working_dir, words(instruction.path))
    return Effect(replace(config, working_dir=path), f"WORKDIR {path}")


def _stop_signal(config: ImageConfig, instruction: StopSignal, words: Words) -> Effect:
    signal = words(instruction.signal)
    check_signal(signal)
    return Effect(replace(config, stop_signal=signal), f"STOPSIGNAL {signal}")


def _healthcheck(config: ImageConfig, instruction: Healthcheck, words: Words) -> Effect:
    check = instruction.check
    return Effect(replace(config, healthcheck=check), f"HEALTHCHECK {_go_health(check)}")


def _go_health(check: HealthConfig) -> str:
    """As Go's `%q` prints the structure: the number of retries comes out as a character."""
    times = (check.interval, check.timeout, check.start_period, check.start_interval)
    retries = check.retries if check.retries <= sys.maxunicode else 0xFFFD
    parts = [_go_list(tuple(check.test)), *(go_quote(go_duration(value)) for value in times), go_char(chr(retries))]
    return f"&{{{' '.join(parts)}}}"


def _on_build(config: ImageConfig, instruction: OnBuild, words: Words) -> Effect:
    return Effect(replace(config, on_build=(*config.on_build, instruction.trigger)), "")
