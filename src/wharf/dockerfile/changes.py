"""`--change` of commit and import: a few Dockerfile instructions applied to an image's configuration."""

from collections.abc import Iterable
from dataclasses import replace

from wharf.dockerfile.effects import apply_effect, variables_of
from wharf.dockerfile.instructions import Cmd, Entrypoint
from wharf.dockerfile.parse import parse_statement
from wharf.dockerfile.position import DockerfileError
from wharf.dockerfile.source import read_statements
from wharf.dockerfile.words import expand
from wharf.errors import Invalid
from wharf.spec.image import ImageConfig

_EFFECTS = ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD")
_ALLOWED = (*_EFFECTS, "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """The configuration after the changes, in their order. Raises Invalid, with Docker's words where it has them."""
    command_set = False
    for statement in read_statements("\n".join(changes)):
        if statement.name.upper() not in _ALLOWED:
            raise Invalid(f"{statement.name} is not a valid change command")
        try:
            instruction = parse_statement(statement)
        except DockerfileError as error:
            raise Invalid(error.reason) from None
        variables = variables_of(config)
        effect = apply_effect(config, instruction, lambda word, values=variables: expand(word, values))  # type: ignore[misc]
        assert effect is not None, statement.name
        config = effect.config
        if isinstance(instruction, Entrypoint) and not command_set:
            # A new entrypoint makes the old command meaningless, unless the same changes gave one.
            config = replace(config, cmd=None)
        if isinstance(instruction, Cmd):
            command_set = command_set or bool(config.cmd)
            config = replace(config, args_escaped=instruction.command.shell)
    return config
