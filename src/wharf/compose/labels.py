"""The labels of docker compose, by which both tools know each other's containers, networks and volumes."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PREFIX = "com.docker.compose."
PROJECT = PREFIX + "project"
SERVICE = PREFIX + "service"
NUMBER = PREFIX + "container-number"
ONE_OFF = PREFIX + "oneoff"
SLUG = PREFIX + "slug"
HASH = PREFIX + "config-hash"
IMAGE = PREFIX + "image"
DEPENDS_ON = PREFIX + "depends_on"
WORKING_DIR = PREFIX + "project.working_dir"
CONFIG_FILES = PREFIX + "project.config_files"
ENV_FILE = PREFIX + "project.environment_file"
REPLACE = PREFIX + "replace"
NETWORK = PREFIX + "network"
VOLUME = PREFIX + "volume"
VERSION = PREFIX + "version"
COMPOSE_VERSION = "2.40.3"
"""The docker compose whose labels, names and hashes these are."""


def filters(project: str, *more: str) -> dict[str, list[str]]:
    """The engine's filter for what belongs to a project; `more` are further labels."""
    return {"label": [f"{PROJECT}={project}", *more]}


def service_of(container: Mapping[str, Any]) -> str:
    """The service of a container as a list shows it."""
    return str((container.get("Labels") or {}).get(SERVICE, ""))


def number_of(container: Mapping[str, Any]) -> int:
    """Its number, 0 when it has none."""
    text = str((container.get("Labels") or {}).get(NUMBER, ""))
    return int(text) if text.isdecimal() else 0


def is_one_off(container: Mapping[str, Any]) -> bool:
    """Made by `run`."""
    return (container.get("Labels") or {}).get(ONE_OFF) == "True"


def name_of(container: Mapping[str, Any]) -> str:
    """A container's own name: the one without another slash (those of links have one)."""
    names = [str(name) for name in container.get("Names") or ()]
    own = [name for name in names if name.count("/") == 1]
    return (own or names or [str(container.get("Id", ""))])[0].lstrip("/")
