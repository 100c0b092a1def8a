"""Compose: the shop until it is ready and until it is gone, fifty services, a configuration of two hundred.

`wharf compose` on wharfd beside docker compose on dockerd: each tool with its own engine.
"""

import os
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import shop
from bench.engines import Engine

EXAMPLE = Path("examples/shop").absolute()
IMAGES = Path(".cache/bench-shop.tar").absolute()
MANY, LARGE = 50, 200
UP, BEYOND, UNCHANGED, DOWN = (
    "compose, shop up --wait",
    "the same, beyond its processes",
    "up, unchanged",
    "shop down -v",
)
FIFTY, FIFTY_DOWN = f"compose, {MANY} services up", f"{MANY} services down"
CONFIG = f"compose config, {LARGE} services, ms"
Row = Callable[..., None]


def wanted(only: str) -> bool:
    """Whether there is a row for `make bench ONLY=…`."""
    return any(only in name for name in (UP, BEYOND, UNCHANGED, DOWN, FIFTY, FIFTY_DOWN, CONFIG))


def save_images(only: str) -> None:
    """The shop's images in a file; in the host's network, where a first build reaches the package archive."""
    if wanted(only):
        IMAGES.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "tools/demo.py", "save", str(IMAGES)], check=True)


def rows(peers: list[Engine], work: Path, repeat: int, only: str, peer_root: str, row: Row) -> None:
    """The rows whose name contains `only`."""
    tools = [_Tool(engine, peer_root) for engine in peers]
    if any(only in name for name in (UP, BEYOND, UNCHANGED, DOWN)):
        for engine in peers:
            engine.run("load", "-i", str(IMAGES))
        _shop(tools, work, repeat, row)
    if only in FIFTY or only in FIFTY_DOWN:
        _fifty(tools, work, repeat, row)
    if only in CONFIG:
        _config(tools, work, repeat, row)


class _Tool:
    """A compose and its engine."""

    def __init__(self, engine: Engine, peer_root: str) -> None:
        theirs = Path(peer_root, "usr/libexec/docker/cli-plugins/docker-compose")
        own = [str(Path(".venv/bin/wharf").absolute()), "compose"]
        self.command = own if engine.name == "wharf" else [str(theirs)]
        self.environment = {
            **os.environ, **engine.environment, "DOCKER_HOST": engine.host, "SHOP_PASSWORD": "secret", "SHOP_PORT": ""
        }  # fmt: skip

    def time(self, place: Path, *words: str) -> float:
        """Seconds that a command line takes; raises CalledProcessError when it fails."""
        began = time.perf_counter()
        subprocess.run([*self.command, *words], cwd=place, env=self.environment, check=True, stdin=subprocess.DEVNULL,
                       capture_output=True)  # fmt: skip
        return time.perf_counter() - began


def _medians(samples: list[list[float]]) -> list[float]:
    return [statistics.median(of_one) for of_one in samples]


def _shop(tools: list[_Tool], work: Path, repeat: int, row: Row) -> None:
    outside = _outside(work, repeat)
    print(f"{'the shop outside containers':32}{outside:>10.3f}")
    ups, same, downs = ([[] for _ in tools] for _ in range(3))  # type: list[list[float]]
    for _ in range(repeat):
        for index, tool in enumerate(tools):
            ups[index].append(tool.time(EXAMPLE, "up", "-d", "--wait"))
            same[index].append(tool.time(EXAMPLE, "up", "-d"))
            downs[index].append(tool.time(EXAMPLE, "down", "-v"))
    row(UP, _medians(ups))
    row(BEYOND, [figure - outside for figure in _medians(ups)], 0.4)
    row(UNCHANGED, _medians(same), unit="  goal <= 0.2 s")
    row(DOWN, _medians(downs), 0.3)


def _outside(work: Path, repeat: int) -> float:
    """The median of what the shop's processes need by themselves, until all are ready."""
    roots = work / "roots"
    _unpack(roots)
    shop.prepare(roots, EXAMPLE)
    command = [*shop.OWN_NAMESPACES, "--mount-proc", sys.executable, "-m", "bench.shop", str(roots)]
    return statistics.median(
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(repeat)
    )


def _unpack(roots: Path) -> None:
    """The images' files, each image with its layers on one another."""
    import json

    names = {"catalog/postgres:latest": "postgres", "catalog/redis:latest": "redis", "shop/app:latest": "app"}
    with tarfile.open(IMAGES) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or sys.exit("bench: no manifest in the archive"))
        for image in manifest:
            for name in set(image["RepoTags"]) & set(names):
                place = roots / names[name]
                place.mkdir(parents=True)
                for layer in image["Layers"]:
                    with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                        files.extractall(place)


def _fifty(tools: list[_Tool], work: Path, repeat: int, row: Row) -> None:
    place = work / "fifty"
    place.mkdir()
    service = "{image: busybox, init: true, command: sleep 1000, stop_grace_period: 0s}"
    text = "".join(f"  s{number}: {service}\n" for number in range(MANY))
    (place / "compose.yaml").write_text(f"services:\n{text}")
    ups, downs = ([[] for _ in tools] for _ in range(2))  # type: list[list[float]]
    for _ in range(min(repeat, 3)):
        for index, tool in enumerate(tools):
            ups[index].append(tool.time(place, "up", "-d"))
            downs[index].append(tool.time(place, "down"))
    row(FIFTY, _medians(ups), 0.25)
    row(FIFTY_DOWN, _medians(downs), 0.3)


def _config(tools: list[_Tool], work: Path, repeat: int, row: Row) -> None:
    place = work / "large"
    place.mkdir()
    (place / "compose.yaml").write_text(large())
    samples = [[tool.time(place, "config") for _ in range(repeat)] for tool in tools]
    row(CONFIG, [figure * 1000 for figure in _medians(samples)], unit="  goal <= 300 ms")


def large() -> str:
    """A file of services as people write them."""
    text = [
        "x-common: &common",
        "  restart: unless-stopped",
        "  logging: {driver: json-file, options: {max-size: 10m}}",
    ]
    text.append("services:")
    for number in range(LARGE):
        text += [
            f"  service-{number}:", "    <<: *common", f"    image: registry.example/service-{number}:${{TAG:-1.2}}",
            f'    ports: ["{10000 + number}:80", "127.0.0.1:{20000 + number}:9090/udp"]',
            "    environment:", f"      NUMBER: {number}", "      LEVEL: ${LEVEL:-info}", "      DATABASE: db/app",
            "    volumes:", f"      - data-{number}:/data", "      - ./conf:/etc/app:ro",
            "    networks: {front: {aliases: [app]}, back: }", f"    labels: [team=a, number={number}]",
            "    healthcheck: {test: [CMD, check], interval: 5s, timeout: 2s, retries: 3}",
            "    deploy: {resources: {limits: {memory: 256M, cpus: '0.5'}}}",
        ]  # fmt: skip
        text += [f"    depends_on: {{service-{number - 1}: {{condition: service_healthy}}}}"] if number else []
    text += ["networks: {front: , back: {internal: true}}", "volumes:", *(f"  data-{n}:" for n in range(LARGE))]
    return "\n".join(text) + "\n"
