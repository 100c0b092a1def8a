"""Services that are no containers: a program that provides something elsewhere (`provider: {type, options}`)."""

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from wharf.errors import WharfError

if TYPE_CHECKING:
    from wharf.compose.actions import Context

_PLUGINS = ("~/.docker/cli-plugins", "/usr/local/lib/docker/cli-plugins", "/usr/lib/docker/cli-plugins",
            "/usr/local/libexec/docker/cli-plugins", "/usr/libexec/docker/cli-plugins")  # fmt: skip


def run_provider(context: "Context", name: str, verb: str) -> None:
    """Runs the program; what it sets goes into the environment of the services that depend on it. Raises WharfError."""
    project = context.project
    provider = project.all_services()[name]["provider"]
    kind = provider.get("type", "")
    if kind == "compose":
        raise WharfError("'compose' is not a valid provider type")
    command = [_program(kind), "compose", f"--project-name={project.name}", verb]
    command += [f"--{key}={value}" for key, values in (provider.get("options") or {}).items() for value in values]
    subject = f"Provider {name}"
    context.report(subject, "Creating" if verb == "up" else "Removing")
    environment = {**os.environ, **project.environment}
    with subprocess.Popen([*command, name], stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        variables = _read(context, subject, process.stdout)
    if process.returncode:
        action = "create" if verb == "up" else "remove"
        raise WharfError(f"failed to {action} service provider: exit status {process.returncode}")
    for other in project.services.values():
        if name in (other.get("depends_on") or {}):
            own = other.setdefault("environment", {})
            own.update({f"{name.upper()}_{key}": value for key, value in variables.items()})
    context.report(subject, "Created" if verb == "up" else "Removed")


def find_plugin(kind: str) -> str | None:
    """The program `docker-KIND` where docker's plugins lie, the user's first."""
    own = [os.path.join(os.environ["DOCKER_CONFIG"], "cli-plugins")] if os.environ.get("DOCKER_CONFIG") else []
    paths = (os.path.join(os.path.expanduser(place), f"docker-{kind}") for place in (*own, *_PLUGINS))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _program(kind: str) -> str:
    plugin = find_plugin(kind)
    if plugin is not None:
        return plugin
    found = shutil.which(f"docker-{kind}") or shutil.which(kind)
    if found is None:
        raise WharfError(f'exec: "{kind}": executable file not found in $PATH')
    return found


def _read(context: "Context", subject: str, lines: Any) -> dict[str, str]:
    """A line of JSON a message: `info`, `error`, `setenv`, `debug`."""
    variables = {}
    for line in lines:
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError:
            raise WharfError(f"invalid response from plugin: {line.strip()}") from None
        kind, text = message.get("type"), str(message.get("message", ""))
        if kind == "error":
            raise WharfError(text)
        if kind == "info":
            context.report(subject, text)
        elif kind == "setenv":
            key, equals, value = text.partition("=")
            if not equals:
                raise WharfError(f"invalid response from plugin: {text}")
            variables[key] = value
        elif kind != "debug":
            raise WharfError(f"invalid response from plugin: {kind}")
    return variables
