"""Base images that are not here: what they are is asked for, their layers only when a step needs them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.building import build, inside, wharf, write
from tests.support.busybox import layer_tar
from tests.support.fake_registry import MANIFEST, PASS, FakeRegistry, tar_of
from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        running.add("base", "1", [layer_tar(), tar_of({"of-base": b"text of the base"})])
        yield running


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """In the host's network, where the registry is."""
    with Wharfd(own_network=False) as running:
        running.environment["XDG_CACHE_HOME"] = f"{running.root}/cache"
        yield running


@pytest.fixture
def base(registry: FakeRegistry, daemon: Wharfd) -> Iterator[str]:
    """The name of an image that is not here, and whose steps are in no cache."""
    registry.forget()
    yield f"{registry.host}/base:1"
    daemon.docker("image", "prune", "-af")
    daemon.docker("builder", "prune", "-af")


def _layers(registry: FakeRegistry) -> int:
    """Layers that were fetched; a configuration is a blob too."""
    manifest = next(data for (name, tag), (_, data) in registry.manifests.items() if (name, tag) == ("base", "1"))
    return sum(call.path.rpartition("/")[2] in manifest.decode().partition('"layers"')[2]
               for call in registry.seen("GET", "/blobs/"))  # fmt: skip


def test_checks_fetch_no_layer(registry: FakeRegistry, daemon: Wharfd, base: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"Dockerfile": f"FROM {base}\nRUN cat /of-base\nLABEL a b\n"})
    done = wharf(daemon, "build", "--check", str(root), check=False)
    assert "LegacyKeyValueFormat" in done.stdout, done.stdout + done.stderr
    assert registry.seen("GET", "/manifests/1") and _layers(registry) == 0
    assert base not in daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout


def test_a_step_fetches_them_once(registry: FakeRegistry, daemon: Wharfd, base: str, tmp_path: Path) -> None:
    """Two stages and a copy want them at the same time."""
    text = (
        f"FROM {base} AS a\nRUN cp /of-base /a\nFROM {base}\nRUN cp /of-base /b\n"
        f"COPY --from=a /a /\nCOPY --from={base} /of-base /c\n"
    )
    build(daemon, write(tmp_path, {"Dockerfile": text}), "-t", "made")
    assert inside(daemon, "made", "cat /a /b /c") == "text of the base" * 3
    assert _layers(registry) == 2
    assert base in daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout


def test_an_image_without_a_step_has_them_all(
    registry: FakeRegistry, daemon: Wharfd, base: str, tmp_path: Path
) -> None:
    build(daemon, write(tmp_path, {"Dockerfile": f"FROM {base}\nENV A=1\n"}), "-t", "made")
    assert inside(daemon, "made", "cat /of-base") == "text of the base"


def test_nothing_is_fetched_for_steps_of_the_cache(
    registry: FakeRegistry, daemon: Wharfd, base: str, tmp_path: Path
) -> None:
    """The layers of a base whose name is gone stay, as long as the cache lists a step on them."""
    root = write(tmp_path, {"Dockerfile": f"FROM {base}\nRUN cp /of-base /a\n"})
    build(daemon, root, "-t", "made")
    daemon.docker("rmi", "made", base)
    registry.forget()
    assert "Using cache" in build(daemon, root, "-t", "made")
    assert registry.seen("GET", "/manifests/1") and _layers(registry) == 0
    assert inside(daemon, "made", "cat /a") == "text of the base"
    assert base not in daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout


def test_a_name_that_moves_meanwhile(registry: FakeRegistry, daemon: Wharfd, base: str, tmp_path: Path) -> None:
    """What was looked up is what is built upon."""
    before = registry.manifests["base", "1"]
    other = registry.image("base", [layer_tar(), tar_of({"of-base": b"another"})])

    def move(call: object) -> object:
        registry.put("base", "1", MANIFEST, other)
        return PASS

    registry.on("GET", "/blobs/", move, times=1)  # the configuration
    try:
        build(daemon, write(tmp_path, {"Dockerfile": f"FROM {base}\nRUN cp /of-base /a\n"}), "-t", "made")
    finally:
        registry.manifests["base", "1"] = before
    assert inside(daemon, "made", "cat /a") == "text of the base"
