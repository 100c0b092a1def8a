"""Where an image of ours is another than BuildKit's on purpose: one entry each, with the reason."""

from __future__ import annotations

import copy
from typing import Any

ENTRIES: dict[str, dict[str, str]] = {
    # What a step's own file systems are mounted upon is not left in its layer; a step sees /.dockerenv, as the steps of
    # Docker's first builder and all containers do.
    "scratch: a step runs on copied programs": {
        "1 /dev": "",
        "1 /proc": "",
        "1 /sys": "",
        "1 /list": "f 644 0:0 0 42 d9fb87ea4d1f2bce",
    },
}
"""Case: number of the layer and path of an entry, and what it is here; "" where it is not there."""


def adapted(name: str, recorded: dict[str, Any]) -> dict[str, Any]:
    """What is expected here: the recorded image with the listed differences of the case."""
    image = copy.deepcopy(recorded)
    for path, told in ENTRIES.get(name, {}).items():
        layer, path = image["layers"][int(path[0])], path[2:]
        layer.pop(path)
        if told:
            layer[path] = told
    return image
