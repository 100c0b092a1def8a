"""examples/shop: real orders through its published port, read back from its database, by either tool; then nothing.

Its images are built once and stay in .cache/shop: a later run only looks at the build cache.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.compose.tools import Tools
from tests.support.debian import SUITE, debian_archive
from tests.support.wharfd import ROOT, Wharfd

SHOP = ROOT / "examples/shop"
KEPT = ROOT / ".cache/shop"
ROWS = 'select customer, status, cents, (select sum(count) from line where "order" = id) from "order" order by placed'
STOCK = "select name, stock from product where stock in (38, 24, 3) order by id"

pytestmark = [
    pytest.mark.xdist_group("shop"),
    pytest.mark.skipif("WHARF_TEST_COMPOSE" not in os.environ, reason="run by `make test-compose` (it builds images)"),
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """An engine that has the shop's images. In the host's network: builds reach the package archive there."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(f"{KEPT}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Wharfd("--data-root", str(KEPT), own_network=False) as started:
            started.environment |= {"SHOP_PASSWORD": "p'a ss", "SHOP_PORT": ""}
            if started.docker("image", "inspect", f"debian:{SUITE}", check=False).returncode:
                started.docker("load", "-i", str(debian_archive()))
            for name in ("postgres", "redis", "python"):
                file = str(ROOT / "catalog" / name / "Dockerfile")
                _wharf(started, "build", "-q", "--build-arg", f"SUITE={SUITE}", "-t", f"catalog/{name}", "-f", file,
                       str(ROOT / "catalog"))  # fmt: skip
            _wharf(started, "compose", "-f", str(SHOP / "compose.yaml"), "build", "-q")
            yield started
            _wharf(started, "image", "prune", "-f")


def _wharf(daemon: Wharfd, *words: str) -> None:
    command = [str(ROOT / ".venv/bin/wharf"), *words]
    done = subprocess.run(command, env=daemon.environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("tool", ["wharf", "docker"])
def test_orders_come_through(daemon: Wharfd, tool: str) -> None:
    tools = Tools(daemon, SHOP)
    try:
        tools.run(tool, "up", "-d", "--wait")
        address = tools.run(tool, "port", "web", "8000").stdout.strip()
        bought = subprocess.run([sys.executable, str(SHOP / "buy.py"), f"http://{address}"], capture_output=True,
                                text=True, check=False)  # fmt: skip
        assert [line.split()[1:] for line in bought.stdout.splitlines()] == [
            ["accepted", "13099"], ["refused", "116100"]
        ], bought  # fmt: skip
        ask = ("exec", "-T", "db", "psql", "-U", "shop", "-XAtc")
        assert tools.run(tool, *ask, ROWS).stdout == "Ada|accepted|13099|3\nAda|refused|116100|9\n"
        assert tools.run(tool, *ask, STOCK).stdout == "Compass|38\nRope, 50 m|24\nShip's bell|3\n"
        assert "accepted" in tools.run(tool, "logs", "worker").stdout
    finally:
        tools.run(tool, "down", "-v")
    assert tools.left() == []
