"""What one daemon of a test has on the host, everything counted: its processes, namespaces, mounts, links with their
addresses and routes, cgroups and which of them are frozen, nft tables with each set's and map's elements, and the files
beneath its data and exec roots. Ids and digests are one word, so that two footprints of the same state are equal.

before = at_rest(daemon)
…
assert settled(daemon, (before,)) == before
"""

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.wharfd import Wharfd
from wharf.network.names import instance_id

Footprint = Counter[str]
SETTLE_SECONDS = 15.0
"""Trash is emptied, veths die and orphans are reaped in the background."""
_HEX = re.compile(r"[0-9a-f]{64}")
_ORDINAL = re.compile(r"-[0-9a-f]{12}$")
"""How the names of a network's own chains and of its bridge end."""
_VETH = re.compile(r"w[0-9a-f]{6}-")
_NAMESPACES = ("net", "mnt", "pid", "ipc", "uts", "cgroup", "user", "time")
_SHOW = "address show\nroute show table all type unicast\n"
_VOLATILE = ("/wharf.db-wal", "/wharf.db-shm", "/netd.log", "/pid", ".exit")


def processes(daemon: Wharfd) -> list[int]:
    """Pids of the daemon, its helpers and its containers: those in its network namespace and in its cgroups."""
    assert daemon.holder is not None
    namespace = os.readlink(f"/proc/{daemon.holder.pid}/ns/net")
    parent = f"/wharf-{instance_id(daemon.root + '/data')}"
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == daemon.holder.pid:
            continue
        try:
            ours = os.readlink(f"/proc/{entry}/ns/net") == namespace
            if ours or parent in Path(f"/proc/{entry}/cgroup").read_text():
                found.append(int(entry))
        except OSError:
            continue  # ended, or a zombie
    return found


def footprint(daemon: Wharfd) -> Footprint:
    """Everything now, as `kind: thing` with its number."""
    found: Footprint = Counter()
    spaces: set[str] = set()
    for pid in processes(daemon):
        try:
            found[f"process: {Path(f'/proc/{pid}/comm').read_text().strip()}"] += 1
            spaces |= {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _NAMESPACES}
        except OSError:
            continue
    found.update(f"namespace: {space.partition(':')[0]}" for space in spaces)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if daemon.root in line.split()[4]:
            found[f"mount: {_plain(line.split()[4].removeprefix(daemon.root))}"] += 1
    found.update(_network(daemon))
    found.update(_cgroups(instance_id(daemon.root + "/data")))
    found.update(_files(daemon))
    return found


def _cgroups(instance: str) -> Footprint:
    found: Footprint = Counter()
    for pattern in (f"wharf-{instance}*", f"*/wharf-{instance}*"):
        for path in Path("/sys/fs/cgroup").glob(pattern):
            for part, _, files in os.walk(path):
                found[f"cgroup: {_plain(part)}"] += 1
                for name in ("freezer.state", "cgroup.freeze"):
                    if name in files and _read(f"{part}/{name}") not in ("THAWED", "0", ""):
                        found[f"frozen: {_plain(part)}"] += 1
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _network(daemon: Wharfd) -> Footprint:
    found: Footprint = Counter()
    links, routes = _told([*daemon.enter, "ip", "-json", "-batch", "-"], _SHOW)
    for link in links:
        name = _link(link["ifname"])
        found[f"link: {name}"] += 1
        # The kernel gives link-local addresses by itself, when a link has somebody to speak to.
        for address in (item for item in link["addr_info"] if item["scope"] != "link"):
            found[f"address: {name} {address['local']}/{address['prefixlen']}"] += 1
    for route in (item for item in routes if not item["dst"].startswith("fe80:")):
        found[f"route: {_link(route['dev'])} {route['dst']}"] += 1
    (rules,) = _told([*daemon.enter, "nft", "-json", "list", "ruleset"])
    for kind, item in (pair for entry in rules["nftables"] for pair in entry.items()):
        if kind in ("table", "chain", "rule"):
            found[f"nft {kind}: {_ORDINAL.sub('-ID', item.get('chain') or item['name'])}"] += 1
        elif kind in ("set", "map"):
            found[f"nft {kind}: {item['name']}"] += 1
            found[f"nft element: {item['name']}"] += len(item.get("elem", ()))
    return +found


def _link(name: str) -> str:
    """Names that are made of ids are one word for each kind."""
    return _ORDINAL.sub("-ID", name) if name.startswith("br-") else "veth" if _VETH.match(name) else name


def _told(command: Sequence[str], feed: str = "") -> Iterator[Any]:
    """The JSON values that a command writes one after another."""
    text = subprocess.run(command, input=feed, capture_output=True, text=True, check=True).stdout.lstrip()
    while text:
        value, end = json.JSONDecoder().raw_decode(text)
        text = text[end:].lstrip()
        yield value


def _files(daemon: Wharfd) -> Footprint:
    found: Footprint = Counter()
    for root in ("data", "exec"):
        for directory, names, files in os.walk(f"{daemon.root}/{root}"):
            place = directory.removeprefix(daemon.root)
            deep = place.startswith(("/data/snapshots/", "/data/volumes/")) and place.count("/") >= 5
            if deep:  # the files of images and containers are not the engine's
                names.clear()
                continue
            for name in [*names, *files]:
                path = _plain(f"{place}/{name}")
                if not path.endswith(_VOLATILE) and not path.endswith("/unsynced"):
                    found[f"file: {path}"] += 1
    return found


def _plain(text: str) -> str:
    return _HEX.sub("ID", text)


def at_rest(daemon: Wharfd) -> Footprint:
    """The footprint when half a second has changed nothing: what was just done has ended behind its answer."""
    deadline, now = time.monotonic() + SETTLE_SECONDS, footprint(daemon)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        before, now = now, footprint(daemon)
        if before == now:
            break
    return now


def settled(
    daemon: Wharfd, allowed: Sequence[Footprint], view: Callable[[Footprint], Footprint] = lambda found: found
) -> Footprint:
    """The footprint (as `view` shows it) as soon as it is one of `allowed`, else what it is when waiting ends."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (now := view(footprint(daemon))) not in allowed and time.monotonic() < deadline:
        time.sleep(0.05)
    return now


def difference(now: Footprint, then: Footprint) -> str:
    """For a message: what is more (+) and what is less (-) than it was."""
    return "\n".join([f"+ {key} ×{n}" for key, n in (now - then).items()] + [f"- {key} ×{n}" for key, n in
                     (then - now).items()])  # fmt: skip
