"""`system check`: look for what records and host say differently, name it, and mend what is safe to mend.

Runs beside everything else. What is being made or taken away at the moment is left alone: a container is looked at
under its lock, or not at all while somebody holds it; blobs and snapshots while no load, commit or import runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from wharf.engine.check_containers import check_containers
from wharf.engine.check_database import check_database
from wharf.engine.check_host import check_cgroups, check_mounts
from wharf.engine.check_images import check_images
from wharf.engine.check_volumes import check_volumes
from wharf.errors import Conflict, WharfError
from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")
Mend = Callable[[], object]
Found = tuple[Finding, Mend | None]
"""A finding, and what mends it."""

_running = threading.Lock()


def check_system(engine: Engine, repair: bool = False) -> list[Finding]:
    """Everything that is inconsistent, in the order of the kinds; with `repair` what is safe is mended and logged.

    Raises Conflict while another check runs. Reads every blob: minutes for large stores.
    """
    if not _running.acquire(blocking=False):
        raise Conflict("a system check is already running")
    try:
        found: list[Found] = []
        for look in (
            check_database,
            check_containers,
            check_volumes,
            check_images,
            check_cgroups,
            check_mounts,
            _check_network,
        ):
            found += look(engine)
        if repair:
            for finding, mend in found:
                _mend(finding, mend)
        return [finding for finding, _ in found]
    finally:
        _running.release()


def _check_network(engine: Engine) -> list[Found]:
    return list(engine.network.strays())


def _mend(finding: Finding, mend: Mend | None) -> None:
    if mend is None or not finding.safe:
        return
    try:
        mend()
    except (OSError, WharfError) as error:
        log.warning("system check: %s %s (%s) is not mended: %s", finding.kind, finding.object, finding.problem, error)
        return
    finding.repaired = True
    log.info("system check: %s %s (%s) is mended", finding.kind, finding.object, finding.problem)
