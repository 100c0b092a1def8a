"""`models`: language models that Docker's Model plugin (`docker-model`) runs, as docker compose asks for it.

docker-model ls --json                                          which are there (`tags`)
docker-model pull MODEL                                         the others
docker-model configure [--context-size=N] MODEL [-- FLAGS…]     each
docker-model status --json                                      the endpoint, for the services' environment
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping

from wharf.compose.project import Project
from wharf.compose.provider import find_plugin
from wharf.compose.record import replace
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Report = Callable[[str, str], None]


def with_models(project: Project, report: Report) -> Project:
    """The project with its models pulled and configured, and their names and endpoint in its services' environment.

    Raises WharfError when the plugin is not there or fails.
    """
    if not project.models:
        return project
    program = find_plugin("model")
    if program is None:
        raise WharfError("'models' support requires Docker Model plugin")
    there = {tag for model in _json(project, [program, "ls", "--json"]) or () for tag in model.get("tags") or ()}
    for key, model in project.models.items():
        _prepare(project, program, str(model.get("name") or key), model, there, report)
    endpoint = str((_json(project, [program, "status", "--json"]) or {}).get("endpoint", ""))
    services = {
        name: {**item, "environment": {**(item.get("environment") or {}), **model_variables(project, item, endpoint)}}
        if item.get("models")
        else item
        for name, item in project.services.items()
    }
    # Done once: what is planned of this project again has nothing more to ask for.
    return replace(project, services=services, models={})


def model_variables(project: Project, service: Mapping[str, Any], endpoint: str) -> dict[str, str]:
    """`NAME_MODEL` and `NAME_URL`, or what the service calls them (pure)."""
    variables = {}
    for key, how in service["models"].items():
        prefix = key.upper().replace("-", "_")
        variables[(how or {}).get("model_var") or f"{prefix}_MODEL"] = str(project.models[key].get("model", ""))
        variables[(how or {}).get("endpoint_var") or f"{prefix}_URL"] = endpoint
    return variables


def _prepare(
    project: Project, program: str, name: str, model: Mapping[str, Any], there: set[str], report: Report
) -> None:
    wanted = str(model.get("model", ""))
    if wanted not in there:
        report(f"Model {name}", "Pulling")
        _run(project, [program, "pull", wanted])
        report(f"Model {name}", "Pulled")
    report(f"Model {name}", "Configuring")
    size, flags = model.get("context_size"), model.get("runtime_flags") or ()
    words = [*(("--context-size", str(size)) if size else ()), wanted, *(("--", *flags) if flags else ())]
    _run(project, [program, "configure", *words])


def _run(project: Project, command: list[str]) -> str:
    environment = {**os.environ, **project.environment}
    out = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if out.returncode:
        words = (out.stderr or out.stdout).strip()[-500:]
        raise WharfError(f"docker model {command[1]} failed with status {out.returncode}: {words}")
    return out.stdout


def _json(project: Project, command: list[str]) -> Any:
    try:
        return json.loads(_run(project, command))
    except ValueError:
        raise WharfError(f"docker model {command[1]} printed no JSON") from None
