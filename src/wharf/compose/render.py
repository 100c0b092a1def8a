"""A project as `config` prints it, byte for byte as docker compose does (pure)."""

from __future__ import annotations

from wharf.client import jsontext
from wharf.compose import goyaml
from wharf.compose.encode import Encoder, sorted_deep
from wharf.compose.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = ("networks", "volumes", "secrets", "configs", "models")


def to_yaml(project: Project) -> str:
    """The project in YAML."""
    return goyaml.dump(_tree(project, json=False))


def to_json(project: Project) -> str:
    """The project in JSON, without an end of line."""
    value = _tree(project, json=True)
    return json_indented({key: value[key] for key in sorted(value)})


def json_indented(value: Any) -> str:
    """encoding/json.MarshalIndent with two spaces."""
    text = jsontext.indented(value, "  ")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def model_to_text(model: dict[str, Any], format: str) -> str:
    """A model that was not made typed (`--no-interpolate`)."""
    ordered = sorted_deep(model)
    return json_indented(ordered) if format == "json" else goyaml.dump(ordered)


def _tree(project: Project, json: bool) -> dict[str, Any]:
    value: dict[str, Any] = {"name": project.name, "services": project.services}
    value.update({kind: getattr(project, kind) for kind in _KINDS})
    value["secrets"] = {key: {**item, "content": ""} for key, item in project.secrets.items()}
    value["configs"] = {
        key: {**item, "content": ""} if item.get("environment") else item for key, item in project.configs.items()
    }
    if json:
        value.pop("models")
    shown = Encoder(json).thing(value, "Project")
    if not shown.get("name") and json:
        shown["name"] = project.name
    shown.update(sorted_deep(project.extensions))
    return shown
