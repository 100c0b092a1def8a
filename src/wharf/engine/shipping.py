"""Sending logs away: which container has a shipper, from its start until its log is sent or it is removed.

The monitor writes the local log (see log_options), which is the cache for `docker logs` and the spool of the shipper.
While wharfd is not there the log waits on disk; the cursor in the container's directory says from where.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from contextlib import ExitStack
from typing import TYPE_CHECKING

from wharf.engine.cursor import Cursor
from wharf.engine.log_options import CACHE_NAME, buffer_size, is_remote, may_lose, origin_of
from wharf.engine.loop import done
from wharf.errors import Internal, Invalid, WharfError
from wharf.logdrivers.drivers import FAILED

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine
    from wharf.engine.shipper import Shipper
    from wharf.runtime.running import Running

CURSOR_NAME = "shipped.json"
FLUSH_LIMIT = 30.0
"""Seconds that a removal waits for what was not sent yet; the shipper gives up by itself when nothing is taken."""
log = logging.getLogger("wharf.engine")


def open_shipper(engine: Engine, container: Container, undo: ExitStack) -> Shipper | None:
    """For a start: the connection is made now and the start fails without it, but for fluentd-async. Raises Internal,
    Invalid in Docker's words."""
    record = container.record
    if not is_remote(record.host_config.log_config):
        return None
    _stop(container)
    shipper = _make(engine, container)
    if not _connects_later(container):
        _connect(shipper)
    container.shipper = shipper
    undo.callback(_stop, container)
    return shipper


def _connects_later(container: Container) -> bool:
    log_config = container.record.host_config.log_config
    return (
        log_config.type == "fluentd"
        and (log_config.config or {}).get("mode") != "non-blocking"
        and may_lose(log_config)
    )


def _connect(shipper: Shipper) -> None:
    from wharf.logdrivers.transport import words_of

    try:
        shipper.connect()
    except Invalid as error:
        raise Invalid(FAILED + error.message) from None
    except WharfError as error:
        raise Internal(FAILED + error.message) from None
    except OSError as error:
        kind = Invalid if isinstance(error, FileNotFoundError) else Internal  # as Docker's words come to a status
        raise kind(FAILED + shipper.driver.refusal(words_of(shipper.driver.address, error))) from None


def _make(engine: Engine, container: Container) -> Shipper:
    from wharf.engine.logs import FORMS
    from wharf.engine.shipper import Policy, Shipper
    from wharf.logdrivers.drivers import driver_of
    from wharf.runtime.logfile import LogReader

    record = container.record
    log_config = record.host_config.log_config
    driver = driver_of(log_config.type, origin_of(record))
    directory = engine.directory(record.id)
    reader = LogReader(f"{directory}/{CACHE_NAME}", FORMS["local"])
    policy = Policy(buffer_size(log_config), guarded=not may_lose(log_config))
    return Shipper(engine.loop, reader, driver, policy, f"{directory}/{CURSOR_NAME}")


def _take_up(engine: Engine, container: Container) -> Shipper | None:
    """At start-up: whatever is wrong now is no reason not to start."""
    try:
        container.shipper = _make(engine, container)
    except WharfError as error:
        log.warning("start-up: container %s: its log is not sent: %s", container.id, error.message)
    return container.shipper


def resume_shipping(engine: Engine, container: Container, running: Running) -> None:
    """For a container that an earlier wharfd started."""
    if not is_remote(container.record.host_config.log_config):
        return
    shipper = _take_up(engine, container)
    if shipper is not None:
        shipper.follow(running)


def drain_rest(engine: Engine, container: Container) -> None:
    """For a container that ended while wharfd was not there, or whose receiver was not: send what is left."""
    if not is_remote(container.record.host_config.log_config):
        return
    if Cursor(f"{engine.directory(container.id)}/{CURSOR_NAME}").done:
        return
    shipper = _take_up(engine, container)
    if shipper is not None:
        shipper.drain()


def end_shipping(engine: Engine, container: Container) -> Future[None]:
    """Before a removal: resolves when all is sent or given up, soon after FLUSH_LIMIT at the latest."""
    shipper = container.shipper
    if shipper is None:
        return done()
    if not shipper.over.done():
        timer = engine.loop.after(FLUSH_LIMIT, shipper.close)
        shipper.over.add_done_callback(lambda _: timer.cancel())
    return shipper.over


def _stop(container: Container) -> None:
    shipper, container.shipper = container.shipper, None
    if shipper is not None:
        shipper.close()


def close_shippers(engine: Engine) -> None:
    """wharfd ends: remember how far each has come."""
    for container in engine.containers:
        _stop(container)
