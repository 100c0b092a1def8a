"""Cuts between the engine and real registries, ours and the distribution's: both ways go on where they were."""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import docker_archive
from tests.support.cutter import Cutter
from tests.support.fake_registry import tar_of
from tests.support.images import image_engine
from tests.support.registry import Registry
from tests.system.registry.test_pull import FAST, fetch
from tests.system.registry.test_push import send
from wharf.engine.image_tag import tag_image
from wharf.engine.image_transfer import load_images
from wharf.spec.reference import Reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SIZE, CUT = 8 << 20, 3 << 20


@pytest.fixture(scope="module")
def archive() -> bytes:
    """An image of one layer that no encoder makes smaller."""
    return docker_archive("made:1", [tar_of({"noise": os.urandom(SIZE)})])


@pytest.fixture(scope="module")
def engine(archive: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with image_engine(tmp_path_factory.mktemp("one")) as made:
        load_images(made, io.BytesIO(archive), lambda message: None)
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


@pytest.fixture(params=["wharf_registry", "docker_registry"])
def registry(request: pytest.FixtureRequest) -> Registry:
    found: Registry = request.getfixturevalue(request.param)
    return found


def published(engine: Any, host: str, name: str) -> Reference:
    target = Reference.parse(f"{host}/{name}:1")
    tag_image(engine, "made:1", target.name, "1")
    return target


def test_a_pull_goes_on_where_it_was_cut(engine: Any, other: Any, registry: Registry, name: str) -> None:
    send(engine, published(engine, registry.host, name))
    with Cutter(registry.port, down=CUT, cuts=2) as relay:
        pulled = fetch(other, Reference.parse(f"{relay.host}/{name}:1"))
        assert pulled.image.id == engine.images.resolve("made:1").id
        assert len(relay.ranges) == 2 and relay.ranges[0] < relay.ranges[1]
        assert relay.passed["down"] < SIZE * 1.5


def test_a_push_goes_on_where_it_was_cut(engine: Any, other: Any, registry: Registry, name: str) -> None:
    """docker-registry refuses to go on with an upload that was cut, so there it begins anew."""
    with Cutter(registry.port, up=CUT) as relay:
        send(engine, published(engine, relay.host, name))
        if type(registry) is Registry:
            assert relay.ranges and all(re.fullmatch(r"Content-Range: \d+-\d+", line) for line in relay.ranges)
            assert relay.passed["up"] < SIZE * 1.5
    assert fetch(other, Reference.parse(f"{registry.host}/{name}:1")).image.id == engine.images.resolve("made:1").id


def test_a_mirror_that_is_cut_is_left_for_the_registry(
    engine: Any, other: Any, wharf_registry: Registry, docker_registry: Registry, name: str
) -> None:
    """The mirror is asked first; the registry goes on at the byte where it stopped."""
    for registry in (wharf_registry, docker_registry):
        send(engine, published(engine, registry.host, name))
    with Cutter(docker_registry.port, down=CUT) as mirror, Cutter(wharf_registry.port) as origin:
        config = replace(FAST, mirrors={origin.host: (f"http://{mirror.host}",)})
        pulled = fetch(other, Reference.parse(f"{origin.host}/{name}:1"), config=config)
        assert pulled.image.id == engine.images.resolve("made:1").id
        assert len(origin.ranges) == 1 and origin.passed["down"] < SIZE
