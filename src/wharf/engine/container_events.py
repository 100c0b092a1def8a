"""Events about containers, and about the networks and volumes they use, with Docker's attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.spec.container import ContainerRecord
from wharf.spec.volume import LOCAL_DRIVER

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def publish_container_event(engine: Engine, record: ContainerRecord, action: str, **extra: str) -> None:
    """`extra` are further attributes: `signal`, `exitCode`, `execID`, …"""
    attributes = {**(record.config.labels or {}), "image": record.config.image, "name": record.name, **extra}
    engine.events.publish("container", action, record.id, attributes)


def publish_network_event(engine: Engine, record: ContainerRecord, action: str) -> None:
    """`connect` or `disconnect` for each network of the container that it is on while it runs."""
    for name, settings in record.networks.items():
        if settings.network_id and record.network_mode:
            publish_endpoint_event(engine, record, action, (settings.network_id, name))


def publish_endpoint_event(engine: Engine, record: ContainerRecord, action: str, network: tuple[str, str]) -> None:
    """`connect` or `disconnect` for one network (id, name)."""
    network_id, name = network
    attributes = {"container": record.id, "name": name, "type": engine.network.driver(network_id)}
    engine.events.publish("network", action, network_id, attributes)


def publish_volume_events(engine: Engine, record: ContainerRecord, action: str) -> None:
    """`mount` or `unmount` for each volume of the container."""
    for point in record.mounts:
        if point.type != "volume":
            continue
        attributes = {"container": record.id, "driver": point.driver or LOCAL_DRIVER}
        if action == "mount":
            attributes |= {
                "destination": point.destination,
                "propagation": point.propagation,
                "read/write": "true" if point.rw else "false",
            }
        engine.events.publish("volume", action, point.name, attributes)
