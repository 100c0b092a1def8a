"""What may go of the build cache, what is listed of it, and what does not take from it."""

import json
import time
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.building import build, wharf, write
from tests.support.wharfd import Wharfd

TEXT = """FROM busybox AS one
RUN head -c 200000 /dev/zero > /one
FROM busybox AS two
RUN --mount=type=cache,target=/c head -c 300000 /dev/zero > /c/f; echo two > /two
FROM busybox
COPY --from=one /one /one
COPY --from=two /two /two
"""


@pytest.fixture
def context(daemon: Wharfd, tmp_path: Path) -> Path:
    """Built, its image gone again: nothing is shared."""
    root = write(tmp_path / "context", {"Dockerfile": TEXT})
    build(daemon, root, "-t", "control")
    daemon.docker("rmi", "control")
    return root


def _ask(daemon: Wharfd, method: str, path: str, **parameters: Any) -> Any:
    """One request of docker-py's own client, which knows no prune by filters."""
    client = docker.APIClient(daemon.host, version="1.51")
    try:
        answer = client.request(method, client._url(path), params=parameters, timeout=60)
        return client._result(answer, json=True)
    finally:
        client.close()


def _entries(daemon: Wharfd) -> list[dict[str, Any]]:
    return _ask(daemon, "GET", "/system/df", type="build-cache")["BuildCache"]  # type: ignore[no-any-return]


def _prune(daemon: Wharfd, filters: dict[str, list[str]] | None = None, **parameters: Any) -> dict[str, Any]:
    return _ask(  # type: ignore[no-any-return]
        daemon, "POST", "/build/prune", filters=json.dumps(filters or {}), **parameters
    )


def test_the_cache_is_listed_with_sizes(daemon: Wharfd, context: Path) -> None:
    found = {entry["Description"]: entry for entry in _entries(daemon)}
    one = next(entry for title, entry in found.items() if "/one" in title and "RUN" in title)
    mount = next(entry for entry in found.values() if entry["Type"] == "exec.cachemount")
    copied = next(entry for title, entry in found.items() if "COPY --from=two" in title)
    assert one["Size"] >= 200000 and mount["Size"] == 300000 and one["Type"] == "regular"
    assert copied["Parents"] and not copied["InUse"] and not copied["Shared"] and copied["CreatedAt"]
    assert "Build Cache" in daemon.docker("system", "df").stdout
    used = one["UsageCount"]
    build(daemon, context)
    again = next(entry for entry in _entries(daemon) if entry["ID"] == one["ID"])
    assert again["UsageCount"] == used + 1 and again["LastUsedAt"] > one["LastUsedAt"]


def test_what_an_image_shares_stays_without_all(daemon: Wharfd, context: Path) -> None:
    build(daemon, context, "-t", "kept")
    assert {entry["Shared"] for entry in _entries(daemon)} == {True, False}
    _prune(daemon)
    left = _entries(daemon)
    assert left and all(entry["Shared"] for entry in left)
    _prune(daemon, all=True)
    assert _entries(daemon) == []
    daemon.docker("rmi", "kept")


@pytest.mark.parametrize("name", ["id", "parent", "type", "description", "shared", "private", "inuse", "until"])
def test_filters(daemon: Wharfd, context: Path, name: str) -> None:
    before = _entries(daemon)
    child = next(entry for entry in before if entry.get("Parents"))
    wanted: dict[str, tuple[list[str], set[str]]] = {
        "id": ([child["ID"][:40]], {child["ID"]}),
        "parent": (child["Parents"][:1], {e["ID"] for e in before if child["Parents"][0] in (e.get("Parents") or [])}),
        "type": (["exec.cachemount"], {e["ID"] for e in before if e["Type"] == "exec.cachemount"}),
        "description": ([child["Description"]], {e["ID"] for e in before if e["Description"] == child["Description"]}),
        "shared": ([], set()),
        "private": ([], {e["ID"] for e in before}),
        "inuse": ([], set()),
        "until": (["1h"], set()),
    }
    values, gone = wanted[name]
    assert set(_prune(daemon, {name: values})["CachesDeleted"] or []) == gone
    assert {entry["ID"] for entry in _entries(daemon)} == {entry["ID"] for entry in before} - gone


def test_until_takes_what_is_old_enough(daemon: Wharfd, context: Path) -> None:
    middle = time.time()
    write(context, {"Dockerfile": "FROM busybox\nRUN echo newer"})
    build(daemon, context)
    _prune(daemon, {"until": [f"{middle:.6f}"]}, all=True)
    assert [entry["Description"] for entry in _entries(daemon)] == ["[2/2] RUN echo newer"]
    _prune(daemon, all=True)


def test_bounds_of_space_take_the_longest_unused_first(daemon: Wharfd, tmp_path: Path) -> None:
    _prune(daemon, all=True)
    for number in range(4):
        root = write(tmp_path / str(number), {"Dockerfile": f"FROM busybox\nRUN head -c 100000 /dev/zero > /{number}"})
        build(daemon, root, "-t", "x")
        daemon.docker("rmi", "x")
    report = _prune(daemon, all=True, **{"reserved-space": 250_000})
    assert len(report["CachesDeleted"]) == 2 and report["SpaceReclaimed"] > 200_000
    left = {entry["Description"][-1] for entry in _entries(daemon)}
    assert left == {"2", "3"}
    assert _prune(daemon, all=True, **{"keep-storage": 250_000})["CachesDeleted"] is None
    assert len(_prune(daemon, all=True, **{"max-used-space": 150_000})["CachesDeleted"]) == 1
    assert _prune(daemon, all=True, **{"min-free-space": 1})["CachesDeleted"] is None
    out = wharf(daemon, "builder", "prune", "-f", "--min-free-space", "1000TB").stdout
    assert "Total reclaimed space: 1" in out and _entries(daemon) == []


def test_what_is_refused(daemon: Wharfd) -> None:
    for filters, words in (({"nosuch": ["1"]}, "invalid filter 'nosuch'"), ({"id": ["a", "b"]}, "only one value")):
        with pytest.raises(docker.errors.APIError, match=words):
            _prune(daemon, filters)


def test_wharf_builder_prune_and_system_df(daemon: Wharfd, context: Path) -> None:
    assert "Total reclaimed space: 300" in wharf(
        daemon, "builder", "prune", "-f", "--filter", "type=exec.cachemount"
    ).stdout  # fmt: skip
    assert not [entry for entry in _entries(daemon) if entry["Type"] == "exec.cachemount"]


def test_stages_by_name_do_not_take_from_the_cache(daemon: Wharfd, context: Path) -> None:
    build(daemon, context)
    out = build(daemon, context, "--no-cache-filter", "two")
    assert out.count("Using cache") == 3  # the step of `two` runs; its file is the same, so what copies it is a hit
    assert build(daemon, context, "--no-cache").count("Using cache") == 0
