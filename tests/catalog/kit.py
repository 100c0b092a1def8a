"""Builds images of the catalogue with an engine whose data stays in .cache, and talks to their containers.

What stays: the base image and apt's packages (cache mounts), so that only the first run fetches them. Every image is
built with --no-cache, so every run really installs it.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.debian import SUITE, debian_archive
from tests.support.wharfd import ROOT, Wharfd

WHARF = str(ROOT / ".venv/bin/wharf")
KEPT = ROOT / ".cache/catalog"
APPS = Path(__file__).parent / "apps"
BUILD_SECONDS = 900
READY_SECONDS = 120.0


class Catalog:
    """One engine in the host's network, where its containers reach the package archive."""

    def __init__(self, daemon: Wharfd) -> None:
        self.daemon = daemon
        self._built: set[str] = set()

    def wharf(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run our command line; AssertionError with its words when it fails."""
        done = subprocess.run(
            [WHARF, *words], env=self.daemon.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=BUILD_SECONDS,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done

    def base(self) -> None:
        """debian:SUITE."""
        if self.wharf("inspect", "--type", "image", f"debian:{SUITE}", check=False).returncode:
            self.daemon.docker("load", "-i", str(debian_archive()))

    def build(self, name: str, target: str = "") -> str:
        """An image of the catalogue, built once a session; its name."""
        image = f"catalog/{name}" + (f":{target}" if target else "")
        if image not in self._built:
            words = ["--target", target] if target else ["--no-cache"]
            self.wharf(
                "build", "-q", "--build-arg", f"SUITE={SUITE}", *words, "-t", image,
                "-f", str(ROOT / "catalog" / name / "Dockerfile"), str(ROOT / "catalog"),
            )  # fmt: skip
            self._built.add(image)
        return image

    def app(self, name: str) -> str:
        """The test's application upon an image of the catalogue."""
        if (ROOT / "catalog" / name).is_dir():
            self.build(name)
        self.wharf("build", "-q", "--no-cache", "-t", f"app/{name}", str(APPS / name))
        return f"app/{name}"

    @contextlib.contextmanager
    def running(self, image: str, *flags: str, command: tuple[str, ...] = ()) -> Iterator[Running]:
        """A container with its exposed ports published on 127.0.0.1, gone at the end with its volumes."""
        ports = sorted(self.image(image)["ExposedPorts"], key=lambda port: (port != "5672/tcp", port))
        published = [word for port in ports for word in ("-p", f"127.0.0.1::{port}")]
        made = self.wharf("run", "-d", *published, *flags, image, *command).stdout.strip()
        try:
            yield Running(self, made, ports[0])
        finally:
            self.wharf("rm", "-f", "-v", made)

    def image(self, name: str) -> dict[str, dict[str, object]]:
        """An image's configuration."""
        found: dict[str, dict[str, object]] = json.loads(self.wharf("inspect", name).stdout)[0]["Config"]
        return found

    def client(self, image: str, *command: str, check: bool = True) -> str:
        """What a program of an image prints in the host's network: it comes to published ports as a host's would."""
        return self.wharf("run", "--rm", "--network", "host", "--entrypoint", command[0], image, *command[1:],
                          check=check).stdout  # fmt: skip


class Running:
    """A container that runs."""

    def __init__(self, catalog: Catalog, made: str, inside: object) -> None:
        self.catalog, self.id = catalog, made
        template = f'{{{{(index (index .NetworkSettings.Ports "{inside}") 0).HostPort}}}}'
        self.port = catalog.wharf("inspect", "-f", template, made).stdout.strip()

    def exec(self, *words: str, check: bool = True) -> str:
        """What a program prints in the container."""
        return self.catalog.wharf("exec", self.id, *words, check=check).stdout

    def logs(self) -> str:
        """Both streams."""
        done = self.catalog.wharf("logs", self.id)
        return done.stdout + done.stderr

    def ready(self) -> Running:
        """Until the image's own health check passes."""
        config = json.loads(self.catalog.wharf("inspect", self.id).stdout)[0]["Config"]
        kind, *words = config["Healthcheck"]["Test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        deadline = time.monotonic() + READY_SECONDS
        while self.catalog.wharf("exec", self.id, *command, check=False).returncode:
            running = self.catalog.wharf("inspect", "-f", "{{.State.Running}}", self.id).stdout.strip()
            assert running == "true" and time.monotonic() < deadline, self.logs()
            time.sleep(0.05)
        return self

    def get(self, path: str = "/") -> str:
        """What a GET over the published port brings."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                    return answer.read().decode()  # type: ignore[no-any-return]
            except OSError:
                assert time.monotonic() < deadline, self.logs()
                time.sleep(0.05)

    def user(self) -> str:
        """The name of the user of the main process, as the container knows it."""
        return self.exec("stat", "-c", "%U", "/proc/1").strip()


@contextlib.contextmanager
def catalog() -> Iterator[Catalog]:
    """The engine, stopped at the end; images that nobody names any more are removed, so that .cache does not grow."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with Wharfd("--data-root", str(KEPT), own_network=False) as daemon:
        found = Catalog(daemon)
        found.base()
        try:
            yield found
        finally:
            found.wharf("image", "prune", "-f", check=False)
            found.wharf("builder", "prune", "-f", check=False)
