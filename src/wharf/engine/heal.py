"""Restart what has become unhealthy, where the container's label or the daemon's configuration asks for it.

Docker leaves an unhealthy container running, and people run third-party healers for want of this.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.spec.container import ContainerRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

LABEL = "wharf.restart-on-unhealthy"
"""`true` or `false`; the daemon's default holds for containers without it that have a restart policy."""
log = logging.getLogger("wharf.engine")


def wants_healing(record: ContainerRecord, default: bool) -> bool:
    """Whether a container is to be restarted when its checks call it unhealthy."""
    value = (record.config.labels or {}).get(LABEL, "").strip().lower()
    if value in ("true", "1", "yes"):
        return True
    return not value and default and record.host_config.restart_policy.name not in ("", "no")


def heal(engine: Engine, container: Container) -> None:
    """Restart it in the background, as `docker restart` would; a stop that a person asked for goes first."""
    from wharf.engine.restart import restart_container

    record = container.record
    if not wants_healing(record, engine.config.restart_unhealthy) or record.manually_stopped or engine.closing:
        return
    log.warning("container %s (%s) is unhealthy and is restarted", container.id, record.name)
    record.restart_count += 1
    restart_container(engine, container.id).add_done_callback(lambda done: _say(container, done.exception()))


def _say(container: Container, error: BaseException | None) -> None:
    if error is not None:
        log.error("container %s was unhealthy and does not restart: %s", container.id, error)
