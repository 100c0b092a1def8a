"""Storing what has happened already, and cannot be refused any more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from wharf.errors import WharfError
from wharf.spec.container import ContainerRecord, ExecRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")


def store(engine: Engine, record: ContainerRecord, what: str) -> None:
    """Store a container's record after `what`. A full disk is told in the log only: whoever waits must not wait for
    ever, what runs must be heard of, and the next start of wharfd looks at the host itself."""
    try:
        engine.database.containers.put(record, durable=False)
    except WharfError as error:
        log.error("%s of container %s could not be stored: %s", what, record.id, error.message)


def store_exec(engine: Engine, record: ExecRecord) -> None:
    """The same for an exec."""
    try:
        engine.database.execs.put(record, durable=False)
    except WharfError as error:
        log.error("exec %s could not be stored: %s", record.id, error.message)
