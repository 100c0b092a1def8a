"""Whether host and kernel can do what a container's mounts ask for, before anything is mounted."""

import os

from wharf.engine.bind_id_maps import id_map_of
from wharf.engine.mount_spec import below
from wharf.errors import Internal
from wharf.kernel.mountinfo import holding, mounts_in_sight
from wharf.spec.container import ContainerRecord, MountPoint
from wharf.spec.host import Host

_SHARED, _SLAVE = ("shared", "rshared"), ("slave", "rslave")


def check_mounts(record: ContainerRecord, host: Host, data_root: str) -> None:
    """Raises Internal in Docker's words, as it answers 500 at the start."""
    for point, request in zip(record.mounts, record.mount_requests, strict=True):
        options = request.bind_options
        if options and options.read_only_force_recursive and not point.rw:
            if options.read_only_non_recursive:
                raise Internal("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
            if not host.recursive_readonly:
                raise Internal(
                    "rro is not supported: mount_setattr: function not implemented (kernel is older than 5.12?)"
                )
        if id_map_of(point.mode) and not host.idmapped_mounts:
            raise Internal(f"idmap of {point.destination} is not supported: mount_setattr: function not implemented")
    wanted = [point for point in record.mounts if point.type == "bind" and point.propagation in _SHARED + _SLAVE]
    if wanted:
        _check_propagation(wanted, data_root)


def _check_propagation(wanted: list[MountPoint], data_root: str) -> None:
    """`shared` needs a source on a shared mount, `slave` one on a shared mount or a slave.

    Binds that show the data root are slaves unasked: where the host shares nothing they are private.
    """
    table = mounts_in_sight()
    for point in wanted:
        found = holding(os.path.realpath(point.source), table)
        if found is None or found.shared:
            continue
        what = f"path {point.source} is mounted on {found.point} but it is not a shared"
        if point.propagation in _SHARED:
            raise Internal(f"{what} mount")
        related = below(data_root, point.source) or below(point.source, data_root)
        if not found.slave and not related:
            raise Internal(f"{what} or slave mount")
