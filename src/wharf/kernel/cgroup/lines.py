"""Limits that both worlds write as they stand: huge pages, RDMA, and the marks of v1 on packets. Pure.

config-linux.md#huge-page-limits, #rdma, #network.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wharf.kernel.cgroup.files import LimitRefused
from wharf.spec.host import CgroupWorld

_PAGE_SIZE = re.compile(r"[1-9][0-9]{0,5}[KMG]B")
_NAME = re.compile(r"[^\s/]{1,64}")
"""Of an RDMA device or of an interface: one word of a line."""
MAX_32, MAX_64 = (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Line:
    """One write; `optional`: the kernel may be older than the file."""

    controller: str
    file: str
    text: str
    optional: bool = False


def lines_of(resources: dict[str, Any], world: CgroupWorld) -> Iterator[Line]:
    """What `linux.resources` asks for; raises LimitRefused for what cannot be written."""
    try:
        yield from _lines(resources, world)
    except (AttributeError, KeyError, TypeError) as error:
        raise LimitRefused(f"linux.resources: a property is missing or has the wrong type: {error}") from None


def _lines(resources: dict[str, Any], world: CgroupWorld) -> Iterator[Line]:
    for item in resources.get("hugepageLimits") or ():
        yield from _huge_pages(item, "limit_in_bytes" if world is CgroupWorld.V1 else "max")
    for device, limits in (resources.get("rdma") or {}).items():
        words = [_word(device, "RDMA device")]
        for key, name in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            if limits.get(key) is not None:
                words.append(f"{name}={_number(limits[key], MAX_32, key)}")
        if len(words) > 1:
            yield Line("rdma", "rdma.max", " ".join(words))
    yield from _marks(resources.get("network") or {}, world)


def _huge_pages(item: dict[str, Any], file: str) -> Iterator[Line]:
    size = item["pageSize"]
    if not _PAGE_SIZE.fullmatch(size):
        raise LimitRefused(f"invalid page size {size[:50]!r} of hugepageLimits")
    text = str(_number(item["limit"], MAX_64, "limit of hugepageLimits"))
    yield Line("hugetlb", f"hugetlb.{size}.{file}", text)
    # What is reserved but not used yet counts as well, where the kernel can limit it (5.7).
    yield Line("hugetlb", f"hugetlb.{size}.rsvd.{file}", text, optional=True)


def _marks(network: dict[str, Any], world: CgroupWorld) -> Iterator[Line]:
    mark, priorities = network.get("classID"), network.get("priorities") or ()
    if world is not CgroupWorld.V1 and (mark or priorities):
        raise LimitRefused("network.classID and network.priorities are limits of cgroup v1: this host has v2")
    if mark:
        yield Line("net_cls", "net_cls.classid", str(_number(mark, MAX_32, "network.classID")))
    for item in priorities:
        number = _number(item["priority"], MAX_32, "network.priorities")
        yield Line("net_prio", "net_prio.ifpriomap", f"{_word(item['name'], 'interface')} {number}")


def _word(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise LimitRefused(f"invalid name {name[:50]!r} of an {what}")
    return name


def _number(value: Any, most: int, what: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise LimitRefused(f"{what} is out of range: {str(value)[:50]}")
    return value
