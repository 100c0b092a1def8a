"""Processes of a container, as the host's ps shows them."""

import re
import subprocess
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from wharf.errors import Internal, Invalid
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_PS_ARGS = 1000
PS_SECONDS = 10.0
_PID_COLUMN = re.compile(r"\s+pid\s*=")


def top_container(engine: "Engine", name: str, ps_args: str = "-ef") -> dict[str, Any]:
    """Titles and rows of `ps ps_args` for the container's processes. Raises NotFound, Conflict, Invalid, Internal."""
    container = engine.containers.live(name)
    container.require(Verb.TOP, name)
    running = container.must_run()
    if len(ps_args) > MAX_PS_ARGS or _PID_COLUMN.search(ps_args):
        raise Invalid("invalid ps_args: the title of the PID column cannot be changed")
    if "\0" in ps_args:
        raise Invalid("invalid ps_args: a null byte cannot be handed to ps")
    pids = running.pids()
    record = container.record
    engine.events.publish(
        "container",
        "top",
        record.id,
        {**(record.config.labels or {}), "image": record.config.image, "name": record.name},
    )
    return parse_ps(_run_ps(ps_args.split() or ["-ef"], pids), set(pids))


def _run_ps(arguments: list[str], pids: Collection[int]) -> str:
    """What ps prints of these processes, or of all where an argument (`f`) does not go with a list. Raises Internal."""
    out = _ps([*arguments, "-q" + ",".join(map(str, pids))])
    if out.returncode != 0:
        out = _ps(arguments)
    if out.returncode != 0:
        first = out.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise Internal(f"ps: {first[:500]}")
    return out.stdout.decode(errors="replace")


def _ps(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ps", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PS_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Internal("ps is not installed on the host (package procps)") from None
    except subprocess.TimeoutExpired:
        raise Internal(f"ps did not end within {PS_SECONDS:.0f} seconds") from None


def parse_ps(text: str, pids: Collection[int]) -> dict[str, Any]:
    """The rows of `pids`; the last column takes the rest of the line. Raises Internal without a PID column."""
    lines = [line for line in text.splitlines() if line.strip()]
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Internal("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows: list[list[str]] = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) <= column or not fields[column].isdigit():
            continue
        if int(fields[column]) in pids:
            rows.append([*fields[:-1], fields[-1].rstrip()])
    return {"Processes": rows, "Titles": titles}
