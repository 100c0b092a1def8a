"""Resolve, list, inspect, history, tag, delete, prune: Docker's rules and words."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.images.test_load import load, small_layer
from tests.support.busybox import docker_archive
from wharf.engine.image_delete import delete_image
from wharf.engine.image_inspect import history, inspect_image
from wharf.engine.image_list import list_images
from wharf.engine.image_prune import prune_images
from wharf.engine.image_tag import tag_image
from wharf.engine.image_use import note_use
from wharf.errors import Conflict, Invalid, NotFound


@pytest.fixture
def image(engine: Any) -> Any:
    load(engine, docker_archive("app:1", [small_layer()], {"Labels": {"team": "blue"}}))
    return engine.images.resolve("app:1")


def test_the_forms_of_a_name(engine: Any, image: Any) -> None:
    for text in ("app:1", "docker.io/library/app:1", str(image.id), image.id.hex, image.id.hex[:12], image.id.hex[:2]):
        assert engine.images.resolve(text).id == image.id


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("app", NotFound, "No such image: app:latest"),
        ("nothing:9", NotFound, "No such image: nothing:9"),
        ("f" * 64, NotFound, f"No such image: sha256:{'f' * 64}"),
        ("APP", Invalid, "invalid reference format: repository name (library/APP) must be lowercase"),
        ("a b", Invalid, "invalid reference format"),
        ("-x", Invalid, "invalid reference format"),
        ("", Invalid, "invalid reference format"),
        ("x" * 300, Invalid, "must not be more than 255"),
    ],
)
def test_a_name_that_is_none(engine: Any, text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        engine.images.resolve(text)


def test_inspect_and_history(engine: Any, image: Any) -> None:
    view = inspect_image(engine, "app:1")
    assert (view.id, view.repo_tags, view.size, view.os) == (str(image.id), ["app:1"], 6, "linux")
    assert view.root_fs.layers == [str(image.image.diff_ids[0])]
    assert view.config is not None and view.config["Labels"] == {"team": "blue"}
    assert view.graph_driver.data is not None and "UpperDir" in view.graph_driver.data
    lines = history(engine, "app:1")
    assert [(line.id, line.tags, line.size, line.created_by) for line in lines] == [
        (str(image.id), ["app:1"], 6, "layer 0")
    ]


def test_list_filters(engine: Any, image: Any) -> None:
    load(engine, docker_archive(None, [small_layer("none")]))
    load(engine, docker_archive("lib/tool:2", [small_layer("tool")]))

    def tags(all: bool = False, **filters: list[str]) -> list[str]:
        found = list_images(engine, {key.replace("_", "!"): value for key, value in filters.items()}, all=all)
        return sorted(tag for item in found for tag in item.repo_tags or ["<none>"])

    assert tags() == ["<none>", "app:1", "lib/tool:2"]
    assert tags(dangling=["true"]) == ["<none>"]
    assert tags(dangling=["0"]) == ["app:1", "lib/tool:2"]
    assert tags(label=["team"]) == tags(label=["team=blue"]) == ["app:1"]
    assert tags(label_=["team=blue"]) == ["<none>", "lib/tool:2"]
    assert tags(label=["team=red"]) == []
    assert tags(reference=["app"]) == tags(reference=["a*:1"]) == ["app:1"]
    assert tags(reference=["*"]) == ["app:1"]
    assert tags(reference=["*/*"]) == ["lib/tool:2"]
    assert tags(until=["2020-01-01"]) == []
    assert tags(until=["1h"]) == ["<none>", "app:1", "lib/tool:2"]
    assert tags(since=["app:1"]) == []
    for bad, words in (({"x": ["1"]}, "invalid filter 'x'"), ({"dangling": ["maybe"]}, "invalid filter 'dangling=")):
        with pytest.raises(Invalid, match=words):
            list_images(engine, bad)


def test_list_counts_containers_and_shared_bytes(engine: Any, image: Any) -> None:
    load(engine, docker_archive("two:1", [small_layer(), small_layer("b", b"123")]))
    engine.containers.add(str(image.id))
    found = {item.repo_tags[0]: item for item in list_images(engine, {}, shared_size=True)}
    assert (found["app:1"].containers, found["two:1"].containers) == (1, 0)
    assert (found["two:1"].size, found["two:1"].shared_size) == (9, 6)


def test_tag_moves_a_name_and_tells(engine: Any, image: Any) -> None:
    load(engine, docker_archive("other:1", [small_layer("x")]))
    tag_image(engine, "app:1", "docker.io/library/other", "1")
    assert engine.images.resolve("other:1").id == image.id
    assert engine.events.seen[-1] == ("image", "tag", str(image.id), {"team": "blue", "name": "other:1"})


@pytest.mark.parametrize(
    ("repo", "tag", "words"),
    [
        ("", "", "invalid reference format"),
        ("UP", "1", "must be lowercase"),
        ("a", "no spaces", "invalid tag format"),
        ("a", "x" * 129, "invalid tag format"),
        ("a@sha256:" + "0" * 64, "", "cannot import digest reference"),
        ("sha256", "1", "refusing to create an ambiguous tag"),
        ("0" * 64, "", "cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_a_bad_tag_is_refused(engine: Any, image: Any, repo: str, tag: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        tag_image(engine, "app:1", repo, tag)


def deleted(engine: Any, name: str, **options: bool) -> list[str]:
    return [item.untagged or item.deleted for item in delete_image(engine, name, **options)]


def test_delete_takes_names_first_and_the_image_with_the_last(engine: Any, image: Any) -> None:
    tag_image(engine, "app:1", "app", "2")
    assert deleted(engine, "app:2") == ["app:2"]
    assert deleted(engine, "app:1") == ["app:1", str(image.id), str(image.chain_id)]
    assert (engine.images.all(), engine.blobs(), engine.snapshots.chain_ids()) == ([], set(), [])
    assert engine.events.actions()[-3:] == ["image untag", "image untag", "image delete"]


def test_a_shared_layer_stays(engine: Any, image: Any) -> None:
    load(engine, docker_archive("two:1", [small_layer(), small_layer("b")]))
    two = engine.images.resolve("two:1")
    assert deleted(engine, "two:1") == ["two:1", str(two.id), str(two.chain_id)]
    assert engine.snapshots.chain_ids() == [image.chain_id]
    assert engine.blobs() == {str(blob.digest) for blob in image.blobs}


def test_delete_by_id(engine: Any, image: Any) -> None:
    tag_image(engine, "app:1", "else", "1")
    words = f"conflict: unable to delete {image.id.hex[:12]} (must be forced) - image is referenced in multiple"
    with pytest.raises(Conflict, match=re.escape(words)):
        delete_image(engine, image.id.hex[:12])
    items = deleted(engine, image.id.hex, force=True)
    assert sorted(items[:2]) == ["app:1", "else:1"] and items[2] == str(image.id)


def test_containers_hold_an_image(engine: Any, image: Any) -> None:
    container = engine.containers.add(str(image.id))
    short, by = image.id.hex[:12], container.id[:12]
    cases = [
        (image.id.hex, False, f"unable to delete {short} (must be forced) - image is being used by stopped container "
                              f"{by}"),
        ("app:1", False, f'unable to remove repository reference "app:1" (must force) - container {by} is using its '
                         f"referenced image {short}"),
    ]  # fmt: skip
    for name, force, words in cases:
        with pytest.raises(Conflict, match=re.escape(f"conflict: {words}")):
            delete_image(engine, name, force=force)
    container.state.running = True
    words = f"unable to delete {short} (cannot be forced) - image is being used by running container {by}"
    with pytest.raises(Conflict, match=re.escape(words)):
        delete_image(engine, image.id.hex, force=True)
    # A name can go by force even then; the image stays.
    assert deleted(engine, "app:1", force=True) == ["app:1"]
    assert engine.images.get(image.id) is not None


def test_a_stopped_container_keeps_the_layers_of_a_deleted_image(engine: Any, image: Any) -> None:
    container = engine.containers.add(str(image.id))
    engine.snapshots.prepare(container.id, image.chain_id)
    assert deleted(engine, "app:1", force=True) == ["app:1", str(image.id)]
    assert engine.snapshots.chain_ids() == [image.chain_id]
    engine.snapshots.remove(container.id)
    engine.images.operations.request_sweep()
    assert engine.snapshots.chain_ids() == []


def test_a_parent_stays_while_another_image_was_made_of_it(engine: Any, image: Any) -> None:
    for name in ("one:1", "two:1"):
        load(engine, docker_archive(name, [small_layer(), small_layer(name[:3])]))
        child = engine.images.resolve(name)
        engine.database.images.put(replace(child, names=(), parent=image.id))
    assert deleted(engine, "app:1", force=True) == ["app:1"]
    assert [item.id for item in list_images(engine, {}) if not item.repo_tags] == []
    assert len(list_images(engine, {}, all=True)) == 3
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        delete_image(engine, image.id.hex, force=True)
    assert str(image.id) not in deleted(engine, "one:1")
    assert str(image.id) in deleted(engine, "two:1")
    assert engine.images.all() == []


def test_prune(engine: Any, image: Any) -> None:
    load(engine, docker_archive(None, [small_layer("none")]))
    load(engine, docker_archive("used:1", [small_layer("used")]))
    engine.containers.add(str(engine.images.resolve("used:1").id))
    report = prune_images(engine, {})
    assert report.space_reclaimed == 6
    assert [bool(item.deleted) for item in report.images_deleted or ()] == [True, True]
    report = prune_images(engine, {"dangling": ["false"], "label!": ["team"]})
    assert report.images_deleted is None
    prune_images(engine, {"dangling": ["false"]})
    assert [str(name) for item in engine.images.all() for name in item.names] == ["docker.io/library/used:1"]
    for bad, words in (({"x": ["1"]}, "invalid filter 'x'"), ({"until": ["1h", "2h"]}, "more than one until filter")):
        with pytest.raises(Invalid, match=words):
            prune_images(engine, bad)
    with engine.images.prune_lock, pytest.raises(Conflict, match="a prune operation is already running"):
        prune_images(engine, {})


def test_a_prune_leaves_what_is_named_meanwhile(engine: Any, image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load between the two tables that a listing reads, a tag after it, and a name that went to another image."""
    names, read = engine.database.names, engine.database.names.all

    def then(change: Callable[[], None]) -> None:
        """The next reading of the names is followed by a change."""

        def once() -> Any:
            monkeypatch.setattr(names, "all", read)
            rows = read()
            change()
            return rows

        monkeypatch.setattr(names, "all", once)

    then(lambda: load(engine, docker_archive("new:1", [small_layer("new")])))
    assert prune_images(engine, {}).images_deleted is None
    assert engine.images.resolve("new:1").names
    load(engine, docker_archive(None, [small_layer("none")]))
    (unnamed,) = (item for item in engine.images.all() if not item.names)
    then(lambda: tag_image(engine, str(unnamed.id), "kept", "1"))
    assert prune_images(engine, {}).images_deleted is None
    assert engine.images.resolve("kept:1").id == unnamed.id
    then(lambda: tag_image(engine, "kept:1", "app", "1"))
    prune_images(engine, {"dangling": ["false"], "label": ["team"]})
    assert engine.images.resolve("app:1").id == unnamed.id


def test_prune_by_use(engine: Any) -> None:
    """What was not used for longest goes first; what is in use, and what fits, stays."""
    for number, name in enumerate(("old", "used", "middle", "new")):
        load(engine, docker_archive(f"{name}:1", [small_layer(name, b"x" * 1000)]))
        record = engine.images.resolve(f"{name}:1")
        engine.database.images.put(replace(record, names=(), added_at=(number + 1) * 10**9, last_tagged=0))
    engine.containers.add(str(engine.images.resolve("used:1").id))

    def left() -> list[str]:
        return sorted(name.familiar() for image in engine.images.all() for name in image.names)

    prune_images(engine, {"max-size": ["4000"], "dangling": ["true"]})
    assert left() == ["middle:1", "new:1", "old:1", "used:1"]
    report = prune_images(engine, {"max-size": ["3k"]})
    assert left() == ["middle:1", "new:1", "used:1"] and report.space_reclaimed == 1000
    note_use(engine, str(engine.images.resolve("middle:1").id))
    prune_images(engine, {"unused-for": ["1h"], "label": ["no=such"]})
    assert left() == ["middle:1", "new:1", "used:1"]
    prune_images(engine, {"unused-for": ["1h"]})
    assert left() == ["middle:1", "used:1"]
    prune_images(engine, {"max-size": ["0"]})
    assert left() == ["used:1"]
    assert not engine.database.read("SELECT key FROM settings WHERE key LIKE 'image-used:%'", ())
    for bad in ({"max-size": ["x"]}, {"max-size": ["-1"]}, {"unused-for": ["x"]}, {"max-size": ["1", "2"]}):
        with pytest.raises(Invalid):
            prune_images(engine, bad)
