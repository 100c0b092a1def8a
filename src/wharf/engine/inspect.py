"""Everything about one container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wharf.engine.links import shown_links
from wharf.engine.security import apparmor_profile, parse_options
from wharf.engine.start import files_owner
from wharf.engine.views import InspectExtras, container_inspect
from wharf.errors import NotFound, WharfError
from wharf.spec.container import ContainerRecord, HostConfig
from wharf.spec.digest import Digest

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def inspect_container(engine: Engine, name: str, size: bool = False) -> dict[str, Any]:
    """Docker's document; raises NotFound."""
    container = engine.containers.live(name)
    record = container.record
    extras = InspectExtras(graph=_graph(engine, record), links=shown_links(engine, record))
    extras.ulimits = engine.config.containers.limits(record.host_config)
    extras.exec_ids = sorted(item.record.id for item in list(container.execs.values()) if item.record.exit_code is None)
    if not record.network_mode:  # it has none of the engine's files
        extras.directory = ""
    elif record.log_path:
        try:
            extras.directory = engine.directory(files_owner(engine, record))
        except WharfError:  # the container it shares them with is gone
            extras.directory = ""
    elif record.sandbox_id:
        extras.directory = engine.directory(record.id)
    if record.sandbox_id:  # it was started once: only then Docker looks it up
        extras.apparmor = apparmor_of(engine, record.host_config)
    if record.state.running and not record.joined_network:
        short = "default" if record.network_mode == "host" else record.sandbox_id[:12]
        extras.sandbox_key = f"{engine.config.exec_root}/netns/{short}"
    if size:
        extras.size_rw, extras.size_root_fs = sizes(engine, record)
    return container_inspect(record, extras)


def apparmor_of(engine: Engine, host_config: HostConfig) -> str:
    """The AppArmor profile of a container's processes; "" where there is no AppArmor."""
    return apparmor_profile(parse_options(host_config), host_config.privileged, engine.apparmor)


def sizes(engine: Engine, record: ContainerRecord) -> tuple[int, int]:
    """Bytes of the container's own layer, none when it was removed meanwhile, and of that with its image."""
    try:
        own = engine.snapshots.usage(record.id)
    except NotFound:
        own = 0
    image = engine.images.get(Digest.parse(record.image_id))
    return own, own + (image.size if image else 0)


def _graph(engine: Engine, record: ContainerRecord) -> dict[str, Any]:
    try:
        layers = engine.snapshots.layers(record.id)
    except WharfError:
        return {}
    own = layers.upper.removesuffix("/fs")
    return {
        "ID": record.id,
        "LowerDir": ":".join(layers.lowers),
        "MergedDir": f"{own}/merged",
        "UpperDir": layers.upper,
        "WorkDir": f"{own}/work",
    }
