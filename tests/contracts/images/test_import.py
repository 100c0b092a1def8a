"""Import: a root file system's tar becomes an image, or nothing does."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.images.test_load import small_layer
from tests.support.images import SlowSource
from wharf.engine.image_transfer import ImportRequest, import_image
from wharf.errors import Invalid
from wharf.spec.digest import Digest


def load_tar(engine: Any, data: bytes, **fields: Any) -> Any:
    messages: list[dict[str, Any]] = []
    image_id = import_image(engine, SlowSource(data), ImportRequest(**fields), messages.append)
    assert messages == [{"status": str(image_id)}]
    return engine.images.get(image_id)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_layer_is_stored_plain_and_unpacked(engine: Any, compress: Any) -> None:
    layer = small_layer()
    image = load_tar(engine, compress(layer), repo="root", tag="1", changes=["CMD run", "ENV A=1"])
    assert image.image.diff_ids == (Digest(hashlib.sha256(layer).hexdigest()),)
    assert Path(engine.snapshots.layers(image.chain_id).upper, "hello").read_text() == "hello\n"
    assert (image.image.config.cmd, image.image.config.env) == (("/bin/sh", "-c", "run"), ("A=1",))
    assert image.image.comment == image.image.history[0].comment == "Imported from -"
    assert engine.images.resolve("root:1").id == image.id
    assert engine.events.actions() == ["image tag", "image import"]
    assert engine.blobs() == {str(blob.digest) for blob in image.blobs}


def test_a_message_and_a_platform(engine: Any) -> None:
    image = load_tar(engine, small_layer(), message="from the disk", platform="linux/arm64/v8")
    assert (image.image.comment, str(image.image.platform)) == ("from the disk", "linux/arm64/v8")
    assert image.names == ()


def test_an_empty_archive_is_an_image_without_layers(engine: Any) -> None:
    image = load_tar(engine, bytes(1024))
    assert (image.layers, image.size, engine.snapshots.chain_ids()) == ((), 0, [])


def _evil(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"garbage", "unexpected EOF"),
        (b"garbage" * 1000, ""),
        (gzip.compress(small_layer(), mtime=0)[:-9], ""),
        (small_layer()[:515], "unexpected EOF"),
        (_evil("../../x"), "../../x"),
        (_evil("x", tarfile.LNKTYPE, "../../etc/passwd"), "x"),
        (_evil(".wh."), ".wh."),
    ],
)
def test_a_bad_archive_is_refused_and_leaves_nothing(engine: Any, data: bytes, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_tar(engine, data)
    assert words in caught.value.message
    assert (engine.images.all(), engine.blobs(), engine.snapshots.chain_ids(), engine.leftovers()) == (
        [],
        set(),
        [],
        [],
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"repo": "UP"}, "must be lowercase"),
        ({"repo": "a", "tag": "b c"}, "invalid tag format"),
        ({"changes": ["RUN x"]}, "RUN is not a valid change command"),
        ({"platform": "linux/a/b/c"}, "cannot parse platform specifier"),
        ({"platform": "windows/amd64"}, "unsupported operating system"),
    ],
)
def test_a_bad_request_is_refused_before_a_byte_is_read(engine: Any, fields: dict[str, Any], words: str) -> None:
    source = io.BytesIO(small_layer())
    with pytest.raises(Invalid, match=words):
        import_image(engine, source, ImportRequest(**fields), lambda message: None)
    assert source.tell() == 0
