"""SIGHUP: the file is read again, and what may change while containers run is changed, as dockerd does it."""

import dataclasses
import json
import logging
import shutil
import socket
from typing import Any

from wharf.daemonconfig import Settings, registry_settings
from wharf.engine.engine import Engine
from wharf.engine.image_gc import parse_image_gc
from wharf.engine.info import instance_uuid

REGISTRY = (
    "insecure_registries", "registry_mirrors", "registry_realms", "registry_certs", "signature_policy",
    "max_concurrent_downloads", "max_concurrent_uploads", "max_download_attempts",
)  # fmt: skip
RELOADABLE = (
    "debug", "log_level", "labels", "shutdown_timeout", "live_restore", "restart_unhealthy", "runtimes",
    "default_runtime", "image_gc", *REGISTRY,
)  # fmt: skip
"""Fields of Settings; the others need a restart."""
_IGNORED = ("warnings", "config_file", "validate")

log = logging.getLogger("wharf")


def added_runtimes(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The runtimes of the settings, each program by its absolute path where PATH has it."""
    return {name: (shutil.which(path) or path, *words) for name, (path, *words) in settings.runtimes.items()}


def reload_settings(old: Settings, new: Settings, engine: Engine) -> Settings:
    """Apply what changed from `old` to `new`, say so, and publish the event `reload`; what is in force now."""
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in _IGNORED]
    changed = [name for name in names if getattr(old, name) != getattr(new, name)]
    applied = [name for name in changed if name in RELOADABLE]
    now = dataclasses.replace(old, **{name: getattr(new, name) for name in applied})
    engine.config = dataclasses.replace(
        engine.config,
        debug=now.debug,
        labels=tuple(now.labels),
        shutdown_timeout=now.shutdown_timeout,
        live_restore=now.live_restore,
        restart_unhealthy=now.restart_unhealthy,
        runtimes=added_runtimes(now),
        default_runtime=now.default_runtime,
        registries=registry_settings(now),
        image_gc=parse_image_gc(now.image_gc),
    )
    if "image_gc" in applied:
        engine.image_gc.arm()
    for name in applied:
        log.info("reloaded: %s is %s, was %s", _directive(name), getattr(now, name), getattr(old, name))
    for name in changed:
        if name not in RELOADABLE:
            log.warning("reload: %s changes with the next start only", _directive(name))
    if not changed:
        log.info("reloaded: nothing has changed")
    engine.events.publish("daemon", "reload", instance_uuid(engine), _attributes(now))
    return now


def _directive(name: str) -> str:
    return name.replace("_", "-")


def _attributes(settings: Settings) -> dict[str, str]:
    """What the event tells: the values in force, by the names of the file."""
    values: dict[str, Any] = {_directive(name): getattr(settings, name) for name in RELOADABLE}
    return {"name": socket.gethostname(), **{name: _text(value) for name, value in values.items()}}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and not all(isinstance(words, tuple) for words in value.values()):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, dict):
        return " ".join(f"{name}:{' '.join(command)}" for name, command in sorted(value.items()))
    return " ".join(value) if isinstance(value, list) else str(value)
