"""Compose and a registry: what each pull_policy fetches, and what pull and push move.

By `wharf compose` always, by docker compose as well in `make test-compose`.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.tools import Tools
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd

BOTH = pytest.mark.parametrize("tool", ["wharf", "docker"] if os.environ.get("WHARF_TEST_COMPOSE") else ["wharf"])
OLD, NEW = "old", "new"


@pytest.fixture(scope="module")
def registry(daemon: Wharfd) -> Iterator[Registry]:
    with Registry(enter=daemon.enter) as made:
        yield made


class Shelf:
    """Images that say what they are, at the registry and here, and a project that runs them."""

    def __init__(self, daemon: Wharfd, registry: Registry, path: Path) -> None:
        self.daemon, self.registry, self.tools, self.path = daemon, registry, Tools(daemon, path), path
        self.names: set[str] = set()

    def name(self, image: str) -> str:
        """In full."""
        self.names.add(name := f"{self.registry.host}/{self.path.name}/{image}:1")
        return name

    def make(self, image: str, words: str) -> str:
        """An image here whose command prints `words`."""
        name = self.name(image)
        container = self.daemon.docker("create", "busybox", "true").stdout.strip()
        self.daemon.docker("commit", "-c", f'CMD ["echo", "{words}"]', container, name)
        self.daemon.docker("rm", container)
        return name

    def publish(self, image: str, words: str) -> str:
        """At the registry and not here."""
        name = self.make(image, words)
        self.daemon.docker("push", "-q", name)
        self.forget(image)
        return name

    def forget(self, image: str) -> None:
        """No longer here."""
        self.daemon.docker("rmi", "-f", self.name(image))

    def write(self, **services: str) -> None:
        """One service for each image; the text goes beside its image."""
        lines = [f"  {name}: {{image: '{self.name(name)}', {more}}}" for name, more in services.items()]
        (self.path / "compose.yaml").write_text("services:\n" + "\n".join(lines) + "\n")

    def up(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Up until the last has ended."""
        return self.tools.ask(tool, "up", "--no-color", "--no-log-prefix", *words)

    def said(self, tool: str, service: str) -> str:
        """The service's output, as it has just run."""
        done = self.up(tool, "--force-recreate", service)
        assert done.returncode == 0, done.stderr
        return self.tools.run(tool, "logs", "--no-color", "--no-log-prefix", service).stdout.strip()

    def is_here(self, image: str) -> bool:
        """Whether the engine has it."""
        return not self.daemon.docker("image", "inspect", self.name(image), check=False).returncode


@pytest.fixture
def shelf(daemon: Wharfd, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    made = Shelf(daemon, registry, tmp_path_factory.mktemp("shelf"))
    try:
        yield made
    finally:
        made.tools.ask("wharf", "down", "-t", "0", "--remove-orphans")
        for name in made.names:
            daemon.docker("rmi", "-f", name, check=False)


@BOTH
@pytest.mark.parametrize(
    ("policy", "after"),
    [("", OLD), ("missing", OLD), ("if_not_present", OLD), ("always", NEW), ("daily", OLD), ("weekly", OLD),
     ("every_1s", NEW), ("every_12h", OLD), ("refresh", OLD)],
)  # fmt: skip
def test_what_a_policy_fetches_again(shelf: Shelf, tool: str, policy: str, after: str) -> None:
    """The image is not here: it comes. It has changed there since: the policy says whether it comes again."""
    shelf.publish("app", OLD)
    shelf.write(app=f"pull_policy: {policy}" if policy else "labels: {a: b}")
    assert shelf.said(tool, "app") == OLD
    old = shelf.daemon.docker("image", "inspect", "-f", "{{.Id}}", shelf.name("app")).stdout.strip()
    shelf.publish("app", NEW)
    shelf.daemon.docker("tag", old, shelf.name("app"))
    if policy == "every_1s":
        time.sleep(1.2)  # the policy is about age
    assert shelf.said(tool, "app") == after


@BOTH
def test_never_fetches_nothing(shelf: Shelf, tool: str) -> None:
    shelf.publish("app", OLD)
    shelf.write(app="pull_policy: never")
    done = shelf.up(tool)
    assert done.returncode == 1 and "No such image" in done.stderr and not shelf.is_here("app")
    shelf.make("app", NEW)
    assert shelf.said(tool, "app") == NEW


@BOTH
def test_build_as_a_policy_builds_at_every_up(shelf: Shelf, tool: str) -> None:
    (shelf.path / "app").mkdir()
    for words in (OLD, NEW):
        (shelf.path / "app/Dockerfile").write_text(f'FROM busybox\nCMD ["echo", "{words}"]\n')
        shelf.write(app="build: app, pull_policy: build")
        assert shelf.said(tool, "app") == words


@BOTH
def test_up_with_pull(shelf: Shelf, tool: str) -> None:
    """--pull of `up` and `create` counts more than what the services say."""
    shelf.publish("app", OLD)
    shelf.write(app="pull_policy: always")
    assert shelf.up(tool, "--pull", "never").returncode == 1 and not shelf.is_here("app")
    shelf.write(app="pull_policy: never")
    shelf.tools.run(tool, "create", "--pull", "always")
    assert shelf.is_here("app")


@BOTH
def test_pull(shelf: Shelf, tool: str) -> None:
    for name in ("app", "base", "other"):
        shelf.publish(name, OLD)
    shelf.write(app="depends_on: [base]", base="labels: {a: b}", other="labels: {a: b}")
    shelf.tools.run(tool, "pull", "app")
    assert [shelf.is_here(name) for name in ("app", "base", "other")] == [True, False, False]
    shelf.tools.run(tool, "pull", "--include-deps", "app")
    assert [shelf.is_here(name) for name in ("app", "base", "other")] == [True, True, False]
    shelf.tools.run(tool, "pull", "-q")
    assert shelf.is_here("other")


@BOTH
def test_pull_of_what_is_missing_only(shelf: Shelf, tool: str) -> None:
    shelf.publish("app", OLD)
    here = shelf.make("app", NEW)
    shelf.publish("other", OLD)
    shelf.write(app="labels: {a: b}", other="labels: {a: b}")
    before = shelf.daemon.docker("image", "inspect", "-f", "{{.Id}}", here).stdout
    shelf.tools.run(tool, "pull", "--policy", "missing")
    assert shelf.daemon.docker("image", "inspect", "-f", "{{.Id}}", here).stdout == before and shelf.is_here("other")


@BOTH
def test_pull_goes_on_when_told_to(shelf: Shelf, tool: str) -> None:
    shelf.publish("app", OLD)
    shelf.write(app="labels: {a: b}", lost="labels: {a: b}")
    assert shelf.tools.ask(tool, "pull").returncode != 0
    shelf.tools.run(tool, "pull", "--ignore-pull-failures")
    assert shelf.is_here("app") and not shelf.is_here("lost")


@BOTH
def test_a_build_with_pull_takes_the_base_that_is_there_now(shelf: Shelf, tool: str) -> None:
    shelf.publish("base", OLD)
    for name in ("kept", "app"):
        (shelf.path / name).mkdir()
        (shelf.path / name / "Dockerfile").write_text(f"FROM {shelf.name('base')}\n")
    shelf.write(kept="build: kept", app="build: {context: app, pull: true}")
    shelf.tools.run(tool, "build", "-q")
    old = shelf.daemon.docker("image", "inspect", "-f", "{{.Id}}", shelf.name("base")).stdout.strip()
    shelf.publish("base", NEW)
    shelf.daemon.docker("tag", old, shelf.name("base"))
    shelf.tools.run(tool, "build", "-q", "kept")
    assert shelf.said(tool, "kept") == OLD
    shelf.tools.run(tool, "build", "-q", "app")
    assert shelf.said(tool, "app") == NEW


@BOTH
def test_push(shelf: Shelf, tool: str) -> None:
    """Of what is built here; a build's tags beside the image's name are not pushed by `push SERVICE` of another."""
    for name in ("app", "base"):
        (shelf.path / name).mkdir()
        (shelf.path / name / "Dockerfile").write_text(f'FROM busybox\nCMD ["echo", "{name}"]\n')
    shelf.write(app="build: app, depends_on: [base]", base="build: base")
    shelf.tools.run(tool, "build", "-q")
    shelf.tools.run(tool, "push", "app")
    for name in ("app", "base"):
        shelf.forget(name)
    assert not shelf.daemon.docker("pull", "-q", shelf.name("app")).returncode
    assert shelf.daemon.docker("pull", "-q", shelf.name("base"), check=False).returncode
    shelf.tools.run(tool, "build", "-q")
    shelf.tools.run(tool, "push", "--include-deps", "-q", "app")
    shelf.forget("base")
    assert not shelf.daemon.docker("pull", "-q", shelf.name("base")).returncode


@BOTH
def test_push_goes_on_when_told_to(shelf: Shelf, tool: str) -> None:
    (shelf.path / "Dockerfile").write_text("FROM busybox\n")
    shelf.write(app="build: .", lost="build: .")
    shelf.tools.run(tool, "build", "-q", "app")
    assert shelf.tools.ask(tool, "push").returncode != 0
    shelf.tools.run(tool, "push", "--ignore-push-failures")
    shelf.forget("app")
    assert not shelf.daemon.docker("pull", "-q", shelf.name("app")).returncode
