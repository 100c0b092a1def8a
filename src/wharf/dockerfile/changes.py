"""`--change` of commit and import: a few Dockerfile instructions applied to an image's configuration."""

import json
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from wharf.dockerfile.health import parse_healthcheck
from wharf.dockerfile.lines import Line, logical_lines
from wharf.dockerfile.words import expand, split_words
from wharf.errors import Invalid
from wharf.spec.image import ImageConfig

DEFAULT_SHELL = ("/bin/sh", "-c")
MAX_PORT = 65535
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.IGNORECASE)
_SIGNAL = re.compile(r"(?:SIG)?(RTM(?:IN|AX)(?:[+-]\d+)?|[A-Z]+[0-9]?)\Z", re.IGNORECASE)
_NO_ONBUILD = {"ONBUILD", "MAINTAINER", "FROM"}


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """The configuration after the changes, in their order. Raises Invalid, with Docker's words where it has them."""
    command_set = False
    for line in logical_lines("\n".join(changes)):
        name = line.name.upper()
        handler = _HANDLERS.get(name)
        if handler is None:
            raise Invalid(f"{line.name} is not a valid change command")
        config = handler(config, line)
        if name == "ENTRYPOINT" and not command_set:
            # A new entrypoint makes the old command meaningless, unless the same changes gave one.
            config = replace(config, cmd=None)
        command_set = command_set or (name == "CMD" and bool(config.cmd))
    return config


def exec_form(text: str) -> tuple[str, ...] | None:
    """The list of a JSON array of strings; None for everything else, which is then shell form."""
    if not text.startswith("["):
        return None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tuple(raw) if all(isinstance(item, str) for item in raw) else None


def _variables(config: ImageConfig) -> dict[str, str]:
    pairs = (item.partition("=") for item in config.env)
    return {key: value for key, _, value in pairs}


def _command(config: ImageConfig, text: str) -> tuple[str, ...] | None:
    if not text:
        return None
    words = exec_form(text)
    return words if words is not None else (*(config.shell or DEFAULT_SHELL), text)


def _cmd(config: ImageConfig, line: Line) -> ImageConfig:
    return replace(config, cmd=_command(config, line.rest), args_escaped=exec_form(line.rest) is None)


def _entrypoint(config: ImageConfig, line: Line) -> ImageConfig:
    return replace(config, entrypoint=_command(config, line.rest) or None)


def _pairs(config: ImageConfig, line: Line) -> list[tuple[str, str]]:
    """`k=v k2="v 2"`, or the old `k v…`, with variables as they were before this line."""
    name = line.name.upper()
    words = split_words(line.rest)
    if not words:
        raise Invalid(f"{name} requires at least one argument")
    if "=" not in words[0]:
        key, _, value = line.rest.partition(" ")
        if len(words) < 2:
            raise Invalid(f"{name} must have two arguments")
        pairs = [(key, value.strip())]
    else:
        bad = next((word for word in words if "=" not in word), None)
        if bad is not None:
            raise Invalid(f"Syntax error - can't find = in {json.dumps(bad)}. Must be of the form: name=value")
        pairs = [(word.partition("=")[0], word.partition("=")[2]) for word in words]
    variables = _variables(config)
    expanded = [(expand(key, variables), expand(value, variables)) for key, value in pairs]
    if not all(key for key, _ in expanded):
        raise Invalid(f"{name} names can not be blank")
    return expanded


def _env(config: ImageConfig, line: Line) -> ImageConfig:
    env = list(config.env)
    for key, value in _pairs(config, line):
        found = next((n for n, item in enumerate(env) if item.partition("=")[0] == key), None)
        if found is None:
            env.append(f"{key}={value}")
        else:
            env[found] = f"{key}={value}"
    return replace(config, env=tuple(env))


def _label(config: ImageConfig, line: Line) -> ImageConfig:
    return replace(config, labels={**config.labels, **dict(_pairs(config, line))})


def _expose(config: ImageConfig, line: Line) -> ImageConfig:
    words = split_words(line.rest)
    if not words:
        raise Invalid("EXPOSE requires at least one argument")
    ports = set(config.exposed_ports)
    variables = _variables(config)
    for word in (part for item in words for part in expand(item, variables).split()):
        ports.update(_ports(word))
    return replace(config, exposed_ports=tuple(sorted(ports)))


def _ports(word: str) -> list[str]:
    match = _PORT.match(word)
    first = int(match.group(1)) if match else 0
    last = int(match.group(2) or first) if match else 0
    if match is None or not 1 <= first <= last <= MAX_PORT:
        raise Invalid(f"invalid containerPort: {word}")
    return [f"{port}/{(match.group(3) or 'tcp').lower()}" for port in range(first, last + 1)]


def _one_word(config: ImageConfig, line: Line) -> str:
    words = split_words(line.rest)
    if len(words) != 1 and line.name.upper() != "WORKDIR":
        raise Invalid(f"{line.name.upper()} requires exactly one argument")
    if not words:
        raise Invalid(f"{line.name.upper()} requires exactly one argument")
    return expand(line.rest, _variables(config))


def _user(config: ImageConfig, line: Line) -> ImageConfig:
    return replace(config, user=_one_word(config, line))


def _stop_signal(config: ImageConfig, line: Line) -> ImageConfig:
    signal = _one_word(config, line)
    if not (signal.isdigit() and len(signal) <= 2 and 1 <= int(signal) <= 64) and not _SIGNAL.match(signal):
        raise Invalid(f"invalid signal: {signal}")
    return replace(config, stop_signal=signal)


def _work_dir(config: ImageConfig, line: Line) -> ImageConfig:
    path = posixpath.join(config.working_dir or "/", _one_word(config, line))
    # normpath keeps a leading "//" (POSIX lets it mean something); a container's root has no such meaning.
    return replace(config, working_dir="/" + posixpath.normpath(path).lstrip("/"))


def _volume(config: ImageConfig, line: Line) -> ImageConfig:
    words = exec_form(line.rest)
    if words is None:
        words = tuple(split_words(line.rest))
    if not words:
        raise Invalid("VOLUME requires at least one argument")
    variables = _variables(config)
    paths = [expand(word, variables).strip() for word in words]
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return replace(config, volumes=tuple(sorted({*config.volumes, *paths})))


def _on_build(config: ImageConfig, line: Line) -> ImageConfig:
    trigger = line.rest.partition(" ")[0].upper()
    if not trigger:
        raise Invalid("ONBUILD requires at least one argument")
    if trigger in _NO_ONBUILD:
        if trigger == "ONBUILD":
            raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    return replace(config, on_build=(*config.on_build, line.rest))


def _healthcheck(config: ImageConfig, line: Line) -> ImageConfig:
    return replace(config, healthcheck=parse_healthcheck(line.rest, exec_form))


_HANDLERS: dict[str, Callable[[ImageConfig, Line], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _work_dir,
}
