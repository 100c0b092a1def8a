"""`wharf images --tree`: each image with the platforms behind its name, as docker draws them."""

from __future__ import annotations

from wharf.cli import units
from wharf.cli.session import ExitWith, Session
from wharf.cli.table import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNSUPPORTED = (("quiet", "quiet"), ("no-trunc", "no-trunc"), ("digests", "show-digest"), ("format", "format"))
_HEADER = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]


def check_flags(flags: dict[str, Any]) -> None:
    """Raises ExitWith for what docker refuses beside --tree."""
    for flag, word in _UNSUPPORTED:
        if flags.get(flag):
            raise ExitWith(f"--{word} is not yet supported with --tree")


def show_tree(session: Session, images: list[dict[str, Any]]) -> None:
    """Writes the table; `U` marks what containers use."""
    lines = [_HEADER]
    for image in sorted(images, key=lambda image: -int(image.get("Created", 0))):
        lines += _rows(image)
    session.write(align(lines))


def _rows(image: dict[str, Any]) -> list[list[str]]:
    manifests = [item for item in image.get("Manifests") or [] if item.get("Kind") == "image"]
    content = sum(item["Size"]["Content"] for item in manifests)
    used = image.get("Containers", 0) > 0 or any(item["ImageData"]["Containers"] for item in manifests)
    names = [name for name in image.get("RepoTags") or [] if name != "<none>:<none>"] or ["<untagged>"]
    # As docker has it: several names of an image in lines of their own, its figures beside the last.
    out = [[name] for name in names[:-1]]
    out.append(_row(names[-1], image["Id"], image.get("Size", 0), content, used=used))
    for number, item in enumerate(manifests, 1):
        mark = "└─ " if number == len(manifests) else "├─ "
        data, size = item["ImageData"], item["Size"]
        name = mark + _platform(data["Platform"])
        out.append(_row(name, item["ID"], size["Total"], size["Content"], used=bool(data["Containers"])))
    return out


def _row(name: str, digest: str, disk: int, content: int, *, used: bool) -> list[str]:
    identity = digest.removeprefix("sha256:")[:12]
    return [name, identity, units.human_size(disk, 3), units.human_size(content, 3), "U" if used else ""]


def _platform(raw: dict[str, str]) -> str:
    return "/".join(raw[key] for key in ("os", "architecture", "variant") if raw.get(key))
