"""The soak of networks: `make soak-network`. A daemon is killed between any two steps of create, connect, disconnect,
start and remove, hundreds of times; then a thousand networks, and hundreds of endpoints on one bridge.

After each kill and restart nothing may be on the host that no record has, and the other way round: bridges, veths,
addresses, routes, rules, namespaces. At the end the host is as it was.

    WHARF_SOAK_NETWORK_KILLS=200 WHARF_SOAK_NETWORKS=1000 WHARF_SOAK_ENDPOINTS=500 WHARF_SOAK_SEED=<number>
"""

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.footprint import Footprint, difference, footprint, processes, settled
from tests.support.wharfd import Wharfd
from tests.system.recovery.test_steps import steps

KILLS = int(os.environ.get("WHARF_SOAK_NETWORK_KILLS", "200"))
NETWORKS = int(os.environ.get("WHARF_SOAK_NETWORKS", "1000"))
ENDPOINTS = int(os.environ.get("WHARF_SOAK_ENDPOINTS", "500"))
SEED = int(os.environ.get("WHARF_SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
SECONDS = 60.0
CRASH = "WHARF_CRASH_AFTER"
BOX = {"Image": "busybox", "Cmd": ["sleep", "100000"]}
MONITORS = ("process: wharf-monitor", "namespace: ", "process: wharf-netd", "file: /exec/netd")


class Connection(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.path)


class Api:
    """Requests to one daemon; `cut` are those during which it dies."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon

    def ask(self, method: str, path: str, body: Any = None, cut: bool = False) -> Any:
        """The answer's document; raises AssertionError for a refusal."""
        connection = Connection(self.daemon.socket)
        try:
            data = json.dumps(body or {}) if method == "POST" else None
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            if cut:
                return None
            raise
        finally:
            connection.close()
        assert cut or answer.status < 400, f"{method} {path}: {answer.status} {text!r}"
        return json.loads(text) if text.strip() else None

    def network(self, name: str, **more: Any) -> None:
        self.ask("POST", "/networks/create", {"Name": name, **more})

    def box(self, name: str, network: str, ports: bool = False, start: bool = True) -> None:
        """A container on a network, alone or with a published port."""
        published = {"PortBindings": {"80/tcp": [{"HostPort": ""}]}} if ports else {}
        body = {**BOX, "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": network, **published}}
        self.ask("POST", f"/containers/create?name={name}", body)
        if start:
            self.ask("POST", f"/containers/{name}/start")

    def clear(self, prefix: str) -> None:
        """Remove containers and networks whose names begin so."""
        for container in self.ask("GET", "/containers/json?all=1"):
            if container["Names"][0].startswith(f"/{prefix}"):
                self.ask("DELETE", f"/containers/{container['Id']}?force=1")
        for network in self.ask("GET", "/networks"):
            if network["Name"].startswith(prefix):
                self.ask("DELETE", f"/networks/{network['Id']}")


def restart(daemon: Wharfd, step: str = "") -> None:
    """Kill what runs and start it again, to die after `step`."""
    if daemon.process and daemon.process.poll() is None:
        daemon.kill()
    os.environ.pop(CRASH, None)
    if step:
        os.environ[CRASH] = step
    try:
        daemon.start()
    finally:
        os.environ.pop(CRASH, None)


# -- what is there, and what should be


def host_links(daemon: Wharfd) -> list[dict[str, Any]]:
    """Interfaces of the daemon's namespace."""
    done = subprocess.run([*daemon.enter, "ip", "-d", "-j", "link"], capture_output=True, text=True, check=True)
    return [item for item in json.loads(done.stdout) if item]


def truth(daemon: Wharfd, api: Api) -> list[str]:
    """What records and host do not agree about."""
    wrong: list[str] = []
    networks = api.ask("GET", "/networks")
    links = host_links(daemon)
    wanted = {f"br-{item['Id'][:12]}" for item in networks if item["Driver"] == "bridge" and item["Name"] != "bridge"}
    have = {link["ifname"] for link in links if link["ifname"].startswith("br-")}
    wrong += [f"bridge {name} has no record" for name in have - wanted]
    wrong += [f"bridge {name} is not there" for name in wanted - have]
    boxes = [api.ask("GET", f"/containers/{item['Id']}/json") for item in api.ask("GET", "/containers/json")]
    ends = [(box, name, end) for box in boxes for name, end in box["NetworkSettings"]["Networks"].items()]
    veths = [link for link in links if link.get("linkinfo", {}).get("info_kind") == "veth"]
    if len(veths) != len([end for _, _, end in ends if end["EndpointID"] and end["IPAddress"]]):
        wrong.append(f"{len(veths)} veths for {len(ends)} endpoints")
    wrong += [f"address {ip} twice" for ip, n in Counter(end["IPAddress"] for _, _, end in ends).items() if n > 1]
    for box in boxes:
        wrong += [f"{box['Name']}: {text}" for text in inside(box)]
    report = api.ask("GET", "/wharf/v1/system/check")
    wrong += [f"system check: {finding}" for finding in report["Findings"]]
    return wrong


def inside(box: dict[str, Any]) -> list[str]:
    """What a container's namespace has otherwise than its record says."""
    enter = ["nsenter", f"--net=/proc/{box['State']['Pid']}/ns/net"]
    shown = subprocess.run([*enter, "ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout
    have = {a["local"] for link in json.loads(shown) for a in link.get("addr_info", ()) if a["scope"] == "global"}
    ends = box["NetworkSettings"]["Networks"].values()
    want = {end[key] for end in ends for key in ("IPAddress", "GlobalIPv6Address") if end[key]}
    wrong = [f"{have} inside, {want} in the record"] if have != want else []
    route = subprocess.run([*enter, "ip", "-j", "route", "show", "default"], capture_output=True, text=True, check=True)
    gateways = {item.get("gateway") for item in json.loads(route.stdout or "[]")}
    ordered = sorted((-end["GwPriority"], name) for name, end in box["NetworkSettings"]["Networks"].items())
    leading = box["NetworkSettings"]["Networks"][ordered[0][1]]["Gateway"] if ordered else None
    if gateways != ({leading} if leading else set()):
        wrong.append(f"default route by {gateways}, not {leading}")
    return wrong


# -- kills


def operations(api: Api) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What each kind of step belongs to: what comes before, and what is cut."""
    more = {"EnableIPv6": True, "Labels": {"a": "b"}}
    join = {"Container": "cut", "EndpointConfig": {"GwPriority": 7}}
    return {
        "network-create": (lambda: None, lambda: api.ask("POST", "/networks/create", {"Name": "cut", **more}, True)),
        "network-remove": (lambda: api.network("cut"), lambda: api.ask("DELETE", "/networks/cut", cut=True)),
        "connect": (
            lambda: (api.network("cut", **more), api.box("cut", "kept-0", ports=True)),
            lambda: api.ask("POST", "/networks/cut/connect", join, True),
        ),
        "disconnect": (
            lambda: (
                api.network("cut"),
                api.box("cut", "kept-0", True),
                api.ask("POST", "/networks/cut/connect", join),
            ),
            lambda: api.ask("POST", "/networks/cut/disconnect", {"Container": "cut"}, True),
        ),
        "start": (
            lambda: (api.network("cut", **more), api.box("cut", "cut", ports=True, start=False)),
            lambda: api.ask("POST", "/containers/cut/start", cut=True),
        ),
        "stop": (
            lambda: (api.network("cut", **more), api.box("cut", "cut", ports=True)),
            lambda: api.ask("POST", "/containers/cut/stop?t=0", cut=True),
        ),
        "remove": (
            lambda: (api.network("cut"), api.box("cut", "cut", start=False)),
            lambda: api.ask("DELETE", "/containers/cut", cut=True),
        ),
    }


def kill_often(daemon: Wharfd, api: Api, problems: list[str]) -> None:
    """KILLS kills, each after another step in turn; containers that live through all of them keep their addresses."""
    chance = random.Random(SEED)
    for number in range(3):
        api.network(f"kept-{number}")
        for letter in "ab":
            api.box(f"kept-{number}{letter}", f"kept-{number}", ports=True)
    places = addresses(api)
    possible = operations(api)
    names = [name for name in steps() if name.partition(":")[0] in possible]
    reached = 0
    for number in range(KILLS):
        if number % len(names) == 0:
            chance.shuffle(names)
        step = names[number % len(names)]
        before, cut = possible[step.partition(":")[0]]
        before()
        restart(daemon, step)
        cut()
        assert daemon.process is not None
        try:
            daemon.process.wait(5)
            reached += 1
        except subprocess.TimeoutExpired:
            daemon.kill()  # a step of a shape of the operation that this one has not: a kill all the same
        restart(daemon)
        deadline = time.monotonic() + SECONDS
        while (wrong := truth(daemon, api)) and time.monotonic() < deadline:
            time.sleep(0.2)  # veths die, and cut removals end, in the background
        problems += [f"kill {number} after {step}: {text}" for text in wrong]
        if (now := addresses(api)) != places:
            problems.append(f"kill {number} after {step}: addresses changed: {now} instead of {places}")
        api.clear("cut")
        if number % 20 == 19:
            print(f"  {number + 1} kills, {reached} at their step, {len(problems)} problems", flush=True)
    api.clear("kept")


def addresses(api: Api) -> dict[str, str]:
    """Of the containers that are kept."""
    found = {}
    for item in api.ask("GET", "/containers/json"):
        name = item["Names"][0]
        if name.startswith("/kept"):
            found[name] = ",".join(end["IPAddress"] for end in item["NetworkSettings"]["Networks"].values())
    return found


# -- capacity


def timed(what: str, action: Callable[[], object], count: int = 1) -> None:
    """Run and print how long one took."""
    start = time.monotonic()
    action()
    seconds = time.monotonic() - start
    print(f"  {what}: {seconds:.1f} s" + (f", {seconds / count * 1000:.1f} ms each" if count > 1 else ""), flush=True)


def many_networks(daemon: Wharfd, api: Api, problems: list[str]) -> None:
    """A thousand networks; the daemon starts again with them, and the last one works."""
    timed(f"{NETWORKS} networks made", lambda: [api.network(f"many-{n}") for n in range(NETWORKS)], NETWORKS)
    found = [item for item in api.ask("GET", "/networks") if item["Name"].startswith("many-")]
    subnets = {item["IPAM"]["Config"][0]["Subnet"] for item in found}
    if len(subnets) != NETWORKS:
        problems.append(f"{len(subnets)} subnets for {NETWORKS} networks")
    timed("all listed", lambda: api.ask("GET", "/networks"))
    timed("killed and started again", lambda: restart(daemon))
    timed("started on the last", lambda: api.box("many-box", f"many-{NETWORKS - 1}", ports=True))
    problems += [f"many networks: {text}" for text in truth(daemon, api)]
    api.ask("DELETE", "/containers/many-box?force=1")
    timed(f"{NETWORKS} networks removed", lambda: api.clear("many"), NETWORKS)


def many_endpoints(daemon: Wharfd, api: Api, problems: list[str]) -> None:
    """Hundreds of containers on one bridge; the first speaks to the last, before and after a kill."""
    api.network("crowd", IPAM={"Config": [{"Subnet": "10.200.0.0/16"}]})
    timed(f"{ENDPOINTS} started", lambda: [api.box(f"crowd-{n}", "crowd") for n in range(ENDPOINTS)], ENDPOINTS)
    for when in ("at first", "after a kill"):
        found = api.ask("GET", "/networks/crowd")["Containers"].values()
        if len({item["IPv4Address"] for item in found}) != ENDPOINTS:
            problems.append(f"crowd, {when}: {len(found)} endpoints and not {ENDPOINTS} addresses")
        done = daemon.docker("exec", "crowd-0", "ping", "-c", "1", "-W", "5", f"crowd-{ENDPOINTS - 1}", check=False)
        if done.returncode:
            problems.append(f"crowd, {when}: the first does not reach the last by name: {done.stderr or done.stdout}")
        if when == "at first":
            timed("killed and started again", lambda: restart(daemon))
    timed(f"{ENDPOINTS} removed", lambda: api.clear("crowd"), ENDPOINTS)


def at_rest(found: Footprint) -> Footprint:
    """Without what is forked ahead or not, and what ends by itself after a minute."""
    return Footprint({key: number for key, number in found.items() if not key.startswith(MONITORS)})


def main() -> int:
    problems: list[str] = []
    print(f"seed {SEED}", flush=True)
    with Wharfd("--default-address-pool", "base=10.0.0.0/10,size=24") as daemon:
        daemon.load_busybox()
        api = Api(daemon)
        api.box("warm-up", "bridge", ports=True)
        api.clear("warm-up")
        restart(daemon)
        base = at_rest(footprint(daemon))
        for part in (kill_often, many_networks, many_endpoints):
            print(part.__name__, flush=True)
            part(daemon, api, problems)
            now = settled(daemon, (base,), at_rest)
            if now != base:
                problems.append(f"left after {part.__name__}:\n{difference(now, base)}")
        print(f"{len(processes(daemon))} processes at the end", flush=True)
        log = Path(f"{daemon.root}/log").read_text(errors="replace")
        problems += [f"in the log: {line}" for line in log.splitlines() if "Traceback" in line]
    print("\n".join(problems) or "nothing is left and nothing is lost", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
