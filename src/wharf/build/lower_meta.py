"""Instructions that change the image's configuration and variables; WORKDIR also makes its directory."""

from collections.abc import Mapping
from dataclasses import replace

from wharf.build.graph import Files, Mkdir
from wharf.build.stage import UNNAMED_ARGS, StageState
from wharf.dockerfile.effects import apply_effect, variables_of
from wharf.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Instruction,
    Maintainer,
    Workdir,
)


def lower_meta(state: StageState, item: Instruction, global_args: Mapping[str, str]) -> None:
    """Apply one. Raises Invalid."""
    if isinstance(item, Arg):
        _arg(state, item, global_args)
        return
    if isinstance(item, Maintainer):
        state.image = replace(state.image, author=item.author)
        state.record(f"MAINTAINER {item.author}", layer=False)
        return
    _check_shell_form(state, item)
    effect = apply_effect(state.config, item, lambda word: state.expand(word, item))
    assert effect is not None, item.name
    state.set_config(effect.config)
    if isinstance(item, Env):
        values = variables_of(effect.config)
        state.env.update((key, values[key]) for key in [state.expand(pair.key, item) for pair in item.pairs])
    if isinstance(item, Entrypoint) and not state.command_set:
        state.set_config(replace(state.config, cmd=None))
    state.command_set = state.command_set or isinstance(item, Cmd)
    if isinstance(item, Workdir):
        _workdir(state, item, effect.history)
    elif effect.history:
        state.record(effect.history, layer=False)


def _check_shell_form(state: StageState, item: Instruction) -> None:
    if isinstance(item, Cmd | Entrypoint) and item.command.shell and not state.config.shell:
        message = f"JSON arguments recommended for {item.name} to prevent unintended behavior related to OS signals"
        state.checks.report("JSONArgsRecommended", message, item.lines, item.comments)


def _workdir(state: StageState, item: Workdir, history: str) -> None:
    path = state.config.working_dir
    if path != "/":
        action = Mkdir(path, 0o755, state.config.user)
        state.add(Files((action,)), (), state.title(item.code), item)
    state.record(history, layer=path != "/")


def _arg(state: StageState, item: Arg, global_args: Mapping[str, str]) -> None:
    shown = []
    for argument in item.arguments:
        key = argument.key
        value = state.options.build_args.get(key)
        if value is None and argument.default is not None:
            value = state.expand(argument.default, item)
        elif value is None:
            value = global_args.get(key)
        if value is not None and key not in UNNAMED_ARGS:
            state.env[key] = value
        state.arguments[key] = value
        shown.append(key if value is None else f"{key}={value}")
    state.record("ARG " + " ".join(shown), layer=False)
