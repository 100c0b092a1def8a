"""`python -m bench.shop ROOTS`: the shop's processes outside containers; prints the seconds until all are ready.

ROOTS has the files of the images (`postgres`, `redis`, `app`); runs in mount and process namespaces of its own, which
take all that was started with them. The order, the conditions and the health checks are those of
examples/shop/compose.yaml, with the same interval.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

OWN_NAMESPACES = ["unshare", "-m", "-p", "-f", "--kill-child", "--propagation", "private"]
START_INTERVAL = 0.1
READY_SECONDS = 60.0
PASSWORD = "/run/secrets/password"
_PATH = "/usr/local/lib/postgresql:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHOP = {
    "DATABASE": "postgresql:///shop?host=127.0.0.1&user=shop", "PASSWORD_FILE": PASSWORD,
    "CACHE": "redis://127.0.0.1:6379/0", "QUEUE": "redis://127.0.0.1:6380/0", "LANG": "C.UTF-8",
}  # fmt: skip
_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@dataclass(frozen=True)
class Service:
    """One of them: the root it runs in, its command and environment, and the command that says whether it is ready."""

    root: str
    command: tuple[str, ...]
    directory: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    check: tuple[str, ...] = ()


SERVICES = (
    {
        "db": Service(
            "postgres", ("entrypoint", "postgres"),
            environment={"POSTGRES_USER": "shop", "POSTGRES_DB": "shop", "POSTGRES_PASSWORD_FILE": PASSWORD,
                         "PGDATA": "/var/lib/postgresql/data", "LANG": "en_US.utf8"}, check=("healthcheck",),
        ),
        "cache": Service(
            "redis", ("entrypoint", "--save", "", "--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lru"), "/cache",
            check=("redis-cli", "ping"),
        ),
        "queue": Service(
            "redis", ("entrypoint", "--port", "6380", "--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            "/data", check=("redis-cli", "-p", "6380", "ping"),
        ),
    },
    {"worker": Service("app", (*_NOBODY, "python", "-u", "/shop/worker.py"), environment=_SHOP)},
    {"web": Service("app", (*_NOBODY, "python", "-u", "/shop/web.py"), environment=_SHOP,
                    check=("python", "/shop/healthcheck.py"))},
)  # fmt: skip
"""By stage: each begins when the one before is ready."""


def prepare(roots: Path, example: Path) -> None:
    """The files that Compose gives to the services, and the devices; once for all runs."""
    for root in ("postgres", "redis", "app"):
        secret = roots / root / PASSWORD.lstrip("/")
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("secret")
    for name in ("schema", "seed"):
        shutil.copy(example / f"db/{name}.sql", roots / "postgres/docker-entrypoint-initdb.d")


def fresh(roots: Path) -> None:
    """Data as at the first start; what programs find in a system."""
    for place in ("postgres/var/lib/postgresql/data", "redis/data", "redis/cache", "postgres/run/postgresql"):
        shutil.rmtree(roots / place, ignore_errors=True)
        (roots / place).mkdir(parents=True)
    for root in ("postgres", "redis", "app"):
        for name in ("dev", "proc"):
            subprocess.run(["mount", "--rbind", f"/{name}", str(roots / root / name)], check=True)
        # What PostgreSQL shares by name would stay in the host's when the namespace ends.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(roots / root / "dev/shm")], check=True)


def _start(roots: Path, service: Service, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    environment = [f"{name}={value}" for name, value in {"PATH": _PATH, **service.environment}.items()]
    words = ["chroot", str(roots / service.root), "env", "-i", "-C", service.directory, *environment, *command]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _stage(roots: Path, services: dict[str, Service]) -> None:
    """Starts all and waits until each one's check has passed; a check comes an interval after the end of the last."""
    for service in services.values():
        _start(roots, service, service.command)
    due = {name: time.perf_counter() + START_INTERVAL for name, service in services.items() if service.check}
    running: dict[str, subprocess.Popen[bytes]] = {}
    end = time.monotonic() + READY_SECONDS
    while due or running:
        if time.monotonic() > end:
            sys.exit(f"bench: not ready outside containers: {[*due, *running]}")
        now = time.perf_counter()
        for name in [name for name, when in due.items() if when <= now]:
            del due[name]
            running[name] = _start(roots, services[name], services[name].check)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                if process.returncode:
                    due[name] = time.perf_counter() + START_INTERVAL
        time.sleep(0.001)


def main() -> None:
    """One run."""
    roots = Path(sys.argv[1])
    fresh(roots)
    began = time.perf_counter()
    for services in SERVICES:
        _stage(roots, services)
    print(time.perf_counter() - began, flush=True)
    os._exit(0)  # the namespace's end takes the processes


if __name__ == "__main__":
    main()
