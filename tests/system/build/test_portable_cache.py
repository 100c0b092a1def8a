"""The build cache on another machine: exported to a registry, a directory, an image; imported on an empty data root."""

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.building import build, inside, wharf, write
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd

STEPS = 10


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Registry("--gc-interval", "0") as running:
        yield running


@pytest.fixture(scope="module")
def first(registry: Registry) -> Iterator[Wharfd]:
    """The machine that builds first; its base image is in the registry too."""
    with Wharfd(own_network=False) as running:
        running.load_busybox()
        running.docker("tag", "busybox", f"{registry.host}/base:1")
        running.docker("push", "-q", f"{registry.host}/base:1")
        yield running


@pytest.fixture(scope="module")
def second(registry: Registry) -> Iterator[Wharfd]:
    """Another machine; see `fresh`."""
    with Wharfd(own_network=False) as running:
        yield running


@pytest.fixture
def fresh(second: Wharfd) -> Wharfd:
    """The other machine without an image and without a cache."""
    images = second.docker("images", "-aq").stdout.split()
    if images:
        second.docker("rmi", "-f", *images)
    second.docker("builder", "prune", "-af")
    return second


@pytest.fixture
def context(registry: Registry, tmp_path: Path) -> Path:
    """Ten steps: two stages, files, a cache mount, a private one."""
    text = f"""FROM {registry.host}/base:1 AS make
RUN echo a > /a
COPY src /src
RUN --mount=type=cache,target=/cache,id=portable echo kept > /cache/kept; mkdir -p /cache/d; ln -sf ../kept /cache/d/l
RUN cat /src/* > /all
RUN --mount=type=cache,target=/own,id=own,sharing=private,mode=0770,uid=7 echo mine > /own/f
FROM {registry.host}/base:1
WORKDIR /work
COPY --from=make /all /all
RUN echo b > /b
RUN --mount=type=cache,target=/cache,id=portable cat /cache/kept > /seen
COPY src/f1 /last
"""
    files = {"Dockerfile": text, **{f"src/f{number}": f"text {number}" for number in range(20)}}
    return write(tmp_path / "context", files)


def _hits(out: str) -> tuple[int, int]:
    """Steps from the cache, and all steps that could be."""
    steps = len(re.findall(r"^Step \d+/\d+ : (?:RUN|COPY|WORKDIR)", out, re.MULTILINE))
    return out.count("---> Using cache"), steps


def test_a_registry_brings_all_steps_and_mounts_to_an_empty_machine(
    first: Wharfd, registry: Registry, context: Path
) -> None:
    ref = f"{registry.host}/caches/app:main"
    build(first, context, "-t", "app:1", "--cache-to", f"type=registry,ref={ref},mode=max")
    wanted = first.docker("inspect", "-f", "{{.Id}}", "app:1").stdout
    with Wharfd(own_network=False) as fresh:
        out = build(fresh, context, "-t", "app:1", "--cache-from", f"type=registry,ref={ref}")
        hits, steps = _hits(out)
        assert steps == STEPS and hits >= 0.9 * steps, out
        assert fresh.docker("inspect", "-f", "{{.Id}}", "app:1").stdout == wanted
        assert inside(fresh, "app:1", "cat /seen /b /last") == "kept\nb\ntext 1"
        write(
            context,
            {"Dockerfile": (context / "Dockerfile").read_text()
             + "RUN --mount=type=cache,target=/cache,id=portable cat /cache/d/l > /warm\n"
               "RUN --mount=type=cache,target=/own,id=own,sharing=private stat -c '%a %u' /own > /m; cat /own/f >> /m"},
        )  # fmt: skip
        out = build(fresh, context, "-t", "app:2", "--cache-from", ref)
        assert _hits(out) == (STEPS, STEPS + 2), out
        assert inside(fresh, "app:2", "cat /warm /m") == "kept\n755 0\nmine\n"
        again = build(fresh, context, "-t", "app:2")
        assert _hits(again) == (STEPS + 2, STEPS + 2)


def test_only_the_steps_of_the_result_with_mode_min(
    first: Wharfd, fresh: Wharfd, registry: Registry, context: Path
) -> None:
    ref = f"{registry.host}/caches/min:1"
    build(first, context, "--cache-to", f"type=registry,ref={ref},mounts=false")
    out = build(fresh, context, "--cache-from", ref)
    hits, steps = _hits(out)
    assert 0 < hits < steps


def test_a_directory(first: Wharfd, fresh: Wharfd, context: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    build(first, context, "--cache-to", f"type=local,dest={place},mode=max")
    index = json.loads((place / "index.json").read_text())
    assert len(index["manifests"]) == 1 and (place / "oci-layout").exists()
    out = build(fresh, context, "--cache-from", f"type=local,src={place}")
    assert _hits(out) == (STEPS, STEPS)


def test_an_image_with_its_own_cache(first: Wharfd, fresh: Wharfd, registry: Registry, context: Path) -> None:
    name = f"{registry.host}/inline:1"
    build(first, context, "-t", name, "--push", "--cache-to", "type=inline")
    # The first stage is not in the image: it runs again, and what it gives is the same, so the second is a hit.
    assert _hits(build(fresh, context, "--cache-from", name))[0] == 5
    assert "wharf.cache.v1" not in first.docker("inspect", "app:1", check=False).stdout


def test_the_sdks_cache_from_takes_what_a_pulled_image_carries(
    first: Wharfd, fresh: Wharfd, registry: Registry, context: Path
) -> None:
    write(context, {"Dockerfile": f"FROM {registry.host}/base:1\nWORKDIR /work\nRUN echo b > /b\nCOPY src /src\n"})
    name = f"{registry.host}/inline:2"
    build(first, context, "-t", name, "--push", "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    fresh.docker("pull", "-q", name)
    fresh.environment["DOCKER_BUILDKIT"] = "0"
    out = fresh.docker("build", "--cache-from", name, str(context)).stdout
    assert _hits(out) == (3, 3), out


def test_a_damaged_or_missing_cache_is_told_and_the_build_goes_on(
    first: Wharfd, fresh: Wharfd, registry: Registry, context: Path, tmp_path: Path
) -> None:
    ref = f"{registry.host}/caches/broken:1"
    build(first, context, "--cache-to", f"type=registry,ref={ref},mode=max")
    _damage(registry, "caches/broken", "base")
    out = build(fresh, context, "--cache-from", ref)
    assert "cache import" in out and "wrong digest" in out and _hits(out)[0] < STEPS / 2
    assert inside(fresh, re.findall(r"Successfully built (\w+)", out)[0], "cat /seen /b /last") == "kept\nb\ntext 1"
    out = build(fresh, context, "--no-cache", "--cache-from", f"{registry.host}/caches/nosuch:1")
    assert "cache import" in out and _hits(out) == (0, STEPS)
    done = wharf(fresh, "build", "--cache-from", f"type=local,src={tmp_path}/nosuch", str(context))
    assert "no build cache in" in done.stderr


def _damage(registry: Registry, name: str, spared: str) -> None:
    """Turn the bytes of a cache's blobs, but for those of an image, in the registry's own store."""
    kept = {layer["digest"] for layer in _manifest(registry, spared, "1")["layers"]}
    for layer in _manifest(registry, name, "1")["layers"]:
        if layer["digest"] not in kept:
            path = Path(registry.root, "content/blobs/sha256", layer["digest"].partition(":")[2])
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[::-1])


def _manifest(registry: Registry, name: str, tag: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://{registry.host}/v2/{name}/manifests/{tag}") as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cache-to", "type=s3,bucket=x"), "unknown cache type 's3'"),
        (("--cache-to", "type=registry"), "a registry cache needs ref="),
        (("--cache-to", "type=registry,ref=x/y,mode=most"), "invalid cache mode 'most'"),
        (("--cache-to", "type=local"), "needs dest="),
        (("--cache-to", "type=registry,ref=127.0.0.1:1/nobody/listens"), "127.0.0.1:1"),
    ],
)
def test_what_is_refused(first: Wharfd, context: Path, flags: tuple[str, ...], words: str) -> None:
    done = wharf(first, "build", *flags, str(context), check=False)
    assert done.returncode and words in done.stderr


def test_an_export_that_may_fail(first: Wharfd, context: Path) -> None:
    out = build(first, context, "--cache-to", "type=registry,ref=127.0.0.1:1/nobody/listens,ignore-error=true")
    assert "WARNING: cache export" in out and "Successfully built" in out
