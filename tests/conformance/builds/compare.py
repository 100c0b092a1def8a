"""Compares an image of ours with the recorded one: what may differ is time, and nothing else unless it is listed.

BuildKit stamps what a build makes with the time of the build, and a line of the history that has no layer with that of
the layer below; ours have SOURCE_DATE_EPOCH, else the time of the base image, else 1970, and so have files that are
younger: the same files give the same image. So a recorded time is expected here to be that one, unless it is older.
"""

from __future__ import annotations

import difflib
import functools
import io
import json
import tarfile
from typing import Any

from tests.conformance.builds.cases import Case
from tests.conformance.builds.differences import adapted
from tests.conformance.builds.result import entries
from tests.conformance.image import EPOCH, LATER, archive, find_busybox
from wharf.build.times import seconds_of, text_of

BUILT = "buildkit.dockerfile.v0"
EPOCHS = (0, seconds_of(EPOCH), seconds_of(LATER))
"""The times of images that begin with `scratch`, box:1 and boxed:1, by the number of layers that these have."""
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


def problem(case: Case, recorded: dict[str, Any], image: dict[str, Any]) -> str:
    """Empty when the image is as Docker's, else the lines that differ."""
    given = [int(flag.partition("=")[2]) for flag in case.flags if flag.startswith("SOURCE_DATE_EPOCH=")]
    epoch = given[0] if given else EPOCHS[recorded["base"]]
    want = _lines(adapted(case.name, recorded), epoch, theirs=True)
    have = _lines(image, epoch, theirs=False)
    rows = difflib.unified_diff(want, have, "recorded", "here", lineterm="", n=0)
    return "\n".join(row for row in list(rows)[2:] if not row.startswith("@@"))


def _lines(image: dict[str, Any], epoch: int, *, theirs: bool) -> list[str]:
    config = dict(image["config"])
    if theirs:
        config["created"] = text_of(epoch)
        config["history"] = [{**line, "created": text_of(epoch)} if line.get("comment") == BUILT else line
                             for line in config["history"]]  # fmt: skip
    rows = [f"{key}: {json.dumps(config[key], sort_keys=True, ensure_ascii=False)}" for key in sorted(config)
            if key not in ("history", "config")]  # fmt: skip
    rows += [f"config.{key}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}"
             for key, value in sorted(config["config"].items())]  # fmt: skip
    rows += [f"history: {json.dumps(line, sort_keys=True, ensure_ascii=False)}" for line in config["history"]]
    rows.append(f"layers of the base: {image['base']}")
    below = dict(_base()[image["base"]])
    for number, layer in enumerate(image["layers"]):
        told = {path: _entry(path, layer[path], epoch, theirs=theirs) for path in sorted(layer)}
        changes = [
            f"layer {number}: {path} {text}" for path, text in told.items() if not _is_still(below, path, text, epoch)
        ]
        rows += changes or [f"layer {number}: nothing"]
        _apply(below, told)
    return rows


@functools.cache
def _base() -> list[dict[str, str]]:
    """What lies in a tree of none, one and both of the layers that the images have which both engines get."""
    with tarfile.open(fileobj=io.BytesIO(archive(find_busybox()))) as images:
        boxed = json.load(images.extractfile("manifest.json") or io.BytesIO())[1]
        one, two = (entries(images.extractfile(name)) for name in boxed["Layers"])
    return [{}, one, one | two]


def _is_still(below: dict[str, str], path: str, told: str, epoch: int) -> bool:
    """A directory that is told again as it was, or as something in it changed: BuildKit mounts things in /etc."""
    kind, mode, owner, time = told.split(" ")[:4] if told.startswith("d ") else ("", "", "", "")
    was = below.get(path, "").split(" ")
    return bool(kind) and was[:3] == [kind, mode, owner] and time in (was[3], str(epoch))


def _apply(below: dict[str, str], layer: dict[str, str]) -> None:
    for path in layer:
        directory, _, name = path.rpartition("/")
        if name.startswith(WHITEOUT):
            gone = directory if name == OPAQUE else f"{directory}/{name.removeprefix(WHITEOUT)}"
            for other in [other for other in below if other.startswith(gone + "/") or (other == gone != directory)]:
                del below[other]
    below.update({path: text for path, text in layer.items() if WHITEOUT not in path})


def _time(text: str, began: int, epoch: int) -> str:
    seconds = seconds_of(text)
    return text_of(epoch if seconds >= began else seconds)


def _entry(path: str, told: str, epoch: int, *, theirs: bool) -> str:
    """Everything that was made in the build has its time; of what marks something as gone only the name counts."""
    if path.rpartition("/")[2].startswith(WHITEOUT):
        return "gone"
    kind, mode, owner, time, *rest = told.split(" ")
    return " ".join([kind, mode, owner, str(min(int(time), epoch)) if theirs else time, *rest])
