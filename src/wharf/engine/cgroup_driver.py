"""Who makes the cgroups of containers, and where they are.

driver      parent by default     cgroup
cgroupfs    /wharf                <parent>/<id>, made by the container's first process
systemd     system.slice          <slices>/wharf-<id>.scope, made by systemd (runtime/scopes.py)

Other instances than the default one have their id in the name: /wharf-<instance>, wharf-<instance>-<id>.scope.
"""

import contextlib
from dataclasses import replace

from wharf.errors import Invalid
from wharf.kernel.cgroup import open_cgroup
from wharf.kernel.cgroup.place import empty_top
from wharf.runtime.scopes import slice_path
from wharf.spec.host import CgroupWorld, Host

CGROUPFS, SYSTEMD = "cgroupfs", "systemd"
CGROUP_PARENT, SLICE = "/wharf", "system.slice"


def with_driver(host: Host, wanted: str) -> Host:
    """The host with the driver that the settings ask for, "" being its own choice. Raises Invalid."""
    if wanted == SYSTEMD and not host.systemd_scopes:
        raise Invalid("native.cgroupdriver=systemd needs systemd as init and cgroup v2 alone")
    return replace(host, cgroup_driver=wanted) if wanted else host


def prepare_top(host: Host) -> None:
    """Make the place where cgroups go fit for handing controllers down. Raises OSError."""
    if host.cgroup_world is CgroupWorld.V2:
        empty_top(host.cgroup_mounts[""])


def container_cgroup(host: Host, instance: str, container_id: str, parent: str) -> str:
    """Path of a container's cgroup below each hierarchy."""
    prefix = f"{CGROUP_PARENT}-{instance}" if instance else CGROUP_PARENT
    if host.cgroup_driver == SYSTEMD:
        return f"{slice_path(parent or SLICE)}{prefix}-{container_id}.scope"
    return f"{'/' + parent.strip('/') if parent.strip('/') else prefix}/{container_id}"


def check_parent(host: Host, parent: str) -> None:
    """`HostConfig.CgroupParent` of a new container; raises Invalid in Docker's words."""
    words = parent.removesuffix(".slice").split("-")
    valid = parent == "-.slice" or (parent.endswith(".slice") and "/" not in parent and all(words))
    if host.cgroup_driver == SYSTEMD and parent and not valid:
        raise Invalid('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')


def remove_parent(host: Host, instance: str) -> None:
    """Take away what held the cgroups of an instance, when nothing is in it any more."""
    if host.cgroup_driver != SYSTEMD:
        path = f"{CGROUP_PARENT}-{instance}" if instance else CGROUP_PARENT
        with contextlib.suppress(OSError):
            open_cgroup(host.cgroup_mounts, path).remove()
