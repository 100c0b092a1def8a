"""The demonstration: the catalogue's PostgreSQL image, built on a base image made on the spot, read from the host.

Each step says what it does. Images and the build cache stay in .cache/demo, so the second run only starts the server;
everything that was started is stopped at the end, also after an error or Ctrl-C.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHARF, WHARFD = str(ROOT / ".venv/bin/wharf"), str(ROOT / ".venv/bin/wharfd")
DATA, CATALOG = ROOT / ".cache/demo", ROOT / "catalog"
SUITE = "bookworm"
BASE, SERVER = f"debian:{SUITE}", "catalog/postgres"
CONTAINER = "demo-postgres"
WAIT_SECONDS = 60.0

SCHEMA = """
create table ship (name text primary key, built int not null, containers int not null);
insert into ship values ('Ideal X', 1955, 58), ('Emma Maersk', 2006, 14770), ('MSC Irina', 2023, 24346);
"""
QUERY = "select name, built, containers from ship order by built"


def say(text: str) -> None:
    """One step, with the time since the start."""
    print(f"demo [{time.monotonic() - STARTED:5.1f} s] {text}", flush=True)


STARTED = time.monotonic()


@contextmanager
def daemon() -> Iterator[dict[str, str]]:
    """A wharfd of the demonstration's own; yields the environment that makes `wharf` speak to it."""
    run = tempfile.mkdtemp(prefix="wharf-demo-")
    socket = f"{run}/wharf.sock"
    command = [WHARFD, "-H", f"unix://{socket}", "--data-root", str(DATA), "--exec-root", f"{run}/exec"]
    with open(f"{run}/log", "wb") as log:
        process = subprocess.Popen(
            [*command, "--pidfile", f"{run}/pid"], stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(lambda: os.path.exists(socket), process, f"{run}/log")
        yield {**os.environ, "DOCKER_HOST": f"unix://{socket}"}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        shutil.rmtree(run, ignore_errors=True)


def wait_for(condition: object, process: subprocess.Popen[bytes], log: str) -> None:
    """Until the daemon answers; shows its log when it ended instead."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"demo: wharfd did not start:\n{Path(log).read_text()}")
        time.sleep(0.02)


def wharf(environment: dict[str, str], *arguments: str, capture: bool = False, feed: str | None = None) -> str:
    """Run our command line; ends the demonstration with its message when it fails."""
    out = subprocess.run(
        [WHARF, *arguments],
        env=environment,
        input=feed,
        stdin=None if feed is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if out.returncode:
        raise SystemExit(f"demo: `wharf {' '.join(arguments)[:80]}` failed with {out.returncode}")
    return out.stdout or ""


def has_image(environment: dict[str, str], name: str) -> bool:
    """Whether an earlier run made the image."""
    out = subprocess.run([WHARF, "inspect", "--type", "image", name], env=environment, capture_output=True, check=False)
    return out.returncode == 0


def build(environment: dict[str, str]) -> None:
    """The server's image; an unchanged Dockerfile costs a look at the cache."""
    if not has_image(environment, BASE):
        say(f"making the base image {BASE} from the package archive that this host's apt uses")
        wharf(environment, "image", "bootstrap", BASE)
    say(f"building {SERVER} from {CATALOG.relative_to(ROOT)}/postgres/Dockerfile")
    words = ["build", "-q", "-t", SERVER, "--build-arg", f"SUITE={SUITE}"]
    wharf(environment, *words, "-f", str(CATALOG / "postgres/Dockerfile"), str(CATALOG))


def serve(environment: dict[str, str]) -> None:
    """Start the server with a published port and a schema with data, and read it from the host."""
    say("starting the server with a published port; it loads schema and data before it lets anybody in")
    password = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="wharf-demo-init-") as scripts:
        os.chmod(scripts, 0o755)
        Path(scripts, "ships.sql").write_text(SCHEMA)
        words = ["-p", "127.0.0.1::5432", "-e", f"POSTGRES_PASSWORD={password}"]
        words += ["-v", f"{scripts}:/docker-entrypoint-initdb.d:ro"]
        wharf(environment, "run", "-d", "--name", CONTAINER, *words, SERVER, capture=True)
        until_ready(environment)
    template = '{{(index (index .NetworkSettings.Ports "5432/tcp") 0).HostPort}}'
    port = wharf(environment, "inspect", "-f", template, CONTAINER, capture=True).strip()
    say(f"a client on the host reads them through 127.0.0.1:{port}:")
    address = ["-h", "127.0.0.1", "-p", port, "-U", "postgres"]
    subprocess.run(
        ["psql", *address, "-c", QUERY], env={**environment, "PGPASSWORD": password, "PAGER": ""}, check=True
    )


def until_ready(environment: dict[str, str]) -> None:
    """The image's own health check says when it accepts connections."""
    deadline = time.monotonic() + WAIT_SECONDS
    command = [WHARF, "exec", CONTAINER, "healthcheck"]
    while subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            wharf(environment, "logs", CONTAINER)
            raise SystemExit("demo: the server did not become ready")
        time.sleep(0.05)


def clean(environment: dict[str, str]) -> None:
    """Remove the containers that an interrupted run may have left as well."""
    subprocess.run([WHARF, "rm", "-f", "-v", CONTAINER], env=environment, capture_output=True, check=False)


def main() -> int:
    """Run all; a second run finds the image and is done in seconds."""
    if os.geteuid() != 0:
        sys.exit("demo: containers need root here; run it as root")
    DATA.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with daemon() as environment:
        clean(environment)
        try:
            build(environment)
            serve(environment)
        finally:
            say("stopping what it started")
            clean(environment)
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
