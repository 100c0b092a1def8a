"""The demonstration: the web shop of examples/shop, its images built from Debian's packages, open for real orders.

Each step says what it does. Images and the build cache stay in .cache/demo, so the second run only starts the shop;
everything that was started is stopped at the end, also after an error or Ctrl-C.

    tools/demo.py               all of it
    tools/demo.py save FILE     only builds the images, and saves them for other engines
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHARF, WHARFD = str(ROOT / ".venv/bin/wharf"), str(ROOT / ".venv/bin/wharfd")
DATA, CATALOG, SHOP = ROOT / ".cache/demo", ROOT / "catalog", ROOT / "examples/shop"
SUITE = "bookworm"
BASE, IMAGES = f"debian:{SUITE}", ("postgres", "redis", "python")
START_SECONDS, WAIT_SECONDS = 60.0, "120"
ORDERS = 'select o.customer, p.name, l.count, o.status, o.cents from "order" o join line l on l."order" = o.id join ' \
    "product p on p.id = l.product order by o.placed, p.name"  # fmt: skip
STARTED = time.monotonic()


def say(text: str) -> None:
    """One step, with the time since the start."""
    print(f"demo [{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


@contextmanager
def daemon() -> Iterator[dict[str, str]]:
    """A wharfd of the demonstration's own; yields the environment that makes `wharf` speak to it."""
    run = tempfile.mkdtemp(prefix="wharf-demo-")
    socket = f"{run}/wharf.sock"
    command = [WHARFD, "-H", f"unix://{socket}", "--data-root", str(DATA), "--exec-root", f"{run}/exec"]
    with open(f"{run}/log", "wb") as log:
        process = subprocess.Popen(
            [*command, "--pidfile", f"{run}/pid", "--live-restore=false"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: os.path.exists(socket), process, f"{run}/log")
        yield {**os.environ, "DOCKER_HOST": f"unix://{socket}", "SHOP_PASSWORD": secrets.token_hex(8), "SHOP_PORT": ""}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(run, ignore_errors=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: str) -> None:
    """Until the daemon answers; shows its log when it ended instead."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"demo: wharfd did not start:\n{Path(log).read_text()}")
        time.sleep(0.02)


def wharf(environment: dict[str, str], *arguments: str, capture: bool = False) -> str:
    """Run our command line; ends the demonstration with its message when it fails."""
    out = subprocess.run(
        [WHARF, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if out.returncode:
        raise SystemExit(f"demo: `wharf {' '.join(arguments)[:80]}` failed with {out.returncode}")
    return out.stdout or ""


def compose(environment: dict[str, str], *arguments: str, capture: bool = False) -> str:
    """`wharf compose` on the shop."""
    return wharf(environment, "compose", "-f", str(SHOP / "compose.yaml"), *arguments, capture=capture)


def build(environment: dict[str, str]) -> None:
    """The images; an unchanged Dockerfile costs a look at the cache."""
    known = subprocess.run(
        [WHARF, "inspect", "--type", "image", BASE], env=environment, capture_output=True, check=False
    )
    if known.returncode:
        say(f"making the base image {BASE} from the package archive that this host's apt uses")
        wharf(environment, "image", "bootstrap", BASE)
    for name in IMAGES:
        say(f"building catalog/{name} from {CATALOG.relative_to(ROOT)}/{name}/Dockerfile")
        words = ["build", "-q", "-t", f"catalog/{name}", "--build-arg", f"SUITE={SUITE}"]
        wharf(environment, *words, "-f", str(CATALOG / name / "Dockerfile"), str(CATALOG))
    say("building the shop's program")
    compose(environment, "build", "--quiet")


def trade(environment: dict[str, str]) -> None:
    """Start the shop, order through its published port, and read the orders in the database."""
    say("wharf compose up --wait: a database with schema and seed, a cache, a queue, a worker, a web server")
    compose(environment, "up", "--wait", "--wait-timeout", WAIT_SECONDS)
    address = compose(environment, "port", "web", "8000", capture=True).strip()
    say(f"ordering through http://{address}:")
    subprocess.run([sys.executable, str(SHOP / "buy.py"), f"http://{address}"], env=environment, check=True)
    say("what the database has of it:")
    compose(environment, "exec", "-T", "db", "psql", "-U", "shop", "-c", ORDERS)


def close(environment: dict[str, str]) -> None:
    """Take it all away; ends the demonstration with an error when anything stayed."""
    compose(environment, "down", "-v", "--remove-orphans", "-t", "5")
    label = "label=com.docker.compose.project=shop"
    left = [
        wharf(environment, *words, "-q", "--filter", label, capture=True)
        for words in (("ps", "-a"), ("network", "ls"), ("volume", "ls"))
    ]
    if any(left):
        raise SystemExit(f"demo: something is left: {left}")


def main(words: list[str]) -> int:
    """Run all; a second run finds the images and is done in seconds."""
    if os.geteuid() != 0:
        sys.exit("demo: containers need root here; run it as root")
    DATA.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with daemon() as environment:
        if words[:1] == ["save"]:
            build(environment)
            wharf(environment, "save", "-o", words[1], *(f"catalog/{name}" for name in IMAGES), "shop/app")
            return 0
        try:
            build(environment)
            trade(environment)
        finally:
            say("wharf compose down -v")
            close(environment)
    say("done; no container, network or volume is left")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
