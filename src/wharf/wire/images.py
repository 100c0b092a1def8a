"""Images as the versions of the API show them: which keys are always there, and what older clients read."""

from typing import Any

from wharf.spec.container import ContainerConfig
from wharf.wire.codec import to_wire

Version = tuple[int, int]

CONFIG_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("Cmd", None),
    ("Entrypoint", None),
    ("Env", None),
    ("Labels", None),
    ("OnBuild", None),
    ("User", ""),
    ("Volumes", None),
    ("WorkingDir", ""),
)
"""Keys of an image's config that are shown also when the image says nothing about them."""
CONTAINER_ONLY: tuple[tuple[str, Any], ...] = (
    ("Hostname", ""),
    ("Domainname", ""),
    ("AttachStdin", False),
    ("AttachStdout", False),
    ("AttachStderr", False),
    ("Tty", False),
    ("OpenStdin", False),
    ("StdinOnce", False),
    ("Image", ""),
)
"""Keys of a container's config that an image's had before API 1.50."""


def inspect(view: dict[str, Any], version: Version) -> dict[str, Any]:
    """The answer of GET /images/{name}/json from the engine's view of an image."""
    config = view.get("Config") or {}
    for key, value in CONFIG_DEFAULTS + (CONTAINER_ONLY if version < (1, 50) else ()):
        config.setdefault(key, value)
    view["Config"] = config
    if version < (1, 45):
        view["ContainerConfig"] = to_wire(ContainerConfig())
    if version < (1, 44):
        view["VirtualSize"] = view["Size"]
    return view


def summary(view: dict[str, Any], version: Version) -> dict[str, Any]:
    """One element of GET /images/json."""
    if version < (1, 51):
        view["Containers"] = -1
    if version < (1, 44):
        view["VirtualSize"] = view["Size"]
    if version < (1, 43):
        if not view["RepoTags"] and not view["RepoDigests"]:
            view["RepoTags"], view["RepoDigests"] = ["<none>:<none>"], ["<none>@<none>"]
        view["RepoTags"], view["RepoDigests"] = view["RepoTags"] or None, view["RepoDigests"] or None
    return view


def usage(view: dict[str, Any], version: Version) -> dict[str, Any]:
    """One image of GET /system/df: without digests it has none at all, in Go a list that is nil."""
    view["RepoDigests"] = view["RepoDigests"] or None
    if version < (1, 44):
        view["VirtualSize"] = view["Size"]
    return view
