"""The document of a portable cache: there and back, and whatever a stranger may send."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.build.portable.document import (
    INLINE,
    CacheDocument,
    PortableMount,
    PortableStep,
    decode,
    decode_inline,
    inline_records,
)
from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_LAYER_GZIP, Descriptor, Image, ImageConfig, Manifest

ONE, TWO, THREE = (Digest(letter * 64) for letter in "123")
KEY = "a" * 64


def blob(digest: Digest) -> Descriptor:
    return Descriptor(MEDIA_LAYER_GZIP, Digest(digest.hex[::-1]), 10)


DOCUMENT = CacheDocument(
    (PortableStep(KEY, "RUN a", (ONE,)), PortableStep("b" * 64, "RUN b", (ONE, TWO), (KEY,))),
    (PortableMount("c" * 64 + "-0", "cache", THREE),),
    {ONE: blob(ONE), TWO: blob(TWO), THREE: blob(THREE)},
)


def test_there_and_back() -> None:
    config, manifest = DOCUMENT.encode()
    assert decode(Manifest.from_bytes(manifest.to_bytes()), config) == DOCUMENT
    assert DOCUMENT.encode() == DOCUMENT.encode()


def test_an_image_tells_of_its_lower_layers_only() -> None:
    steps = [*DOCUMENT.steps, PortableStep("d" * 64, "other", (THREE,))]
    extra = inline_records(steps, (ONE, TWO))
    assert [item["count"] for item in extra[INLINE]["records"]] == [1, 2]
    image = Image(ImageConfig(), (ONE, TWO), extra=extra)
    found = decode_inline(Manifest(blob(ONE), (blob(ONE), blob(TWO))), image)
    assert found.steps == DOCUMENT.steps
    assert decode_inline(Manifest(blob(ONE), ()), image).steps == (), "as many blobs as layers, or nothing"
    assert decode_inline(Manifest(blob(ONE), ()), Image(ImageConfig(), ())).steps == ()


def _raw() -> dict[str, Any]:
    raw = json.loads(DOCUMENT.encode()[0])
    assert isinstance(raw, dict)
    return raw


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 2),
        ("diffIDs", ["x"]),
        ("diffIDs", []),
        ("records", {}),
        ("records", [{"key": "../../etc", "layers": []}]),
        ("records", [{"key": KEY, "layers": [7]}]),
        ("records", [{"key": KEY, "layers": [True]}]),
        ("records", [{"key": KEY, "layers": [-1]}]),
        ("mounts", [{"name": "../x", "layer": 0}]),
        ("mounts", [{"name": KEY}]),
    ],
)
def test_what_is_no_cache(name: str, value: Any) -> None:
    manifest = DOCUMENT.encode()[1]
    with pytest.raises(Invalid):
        decode(manifest, json.dumps({**_raw(), name: value}).encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(KEY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "layers", "layer", "name", "parents", "title", "count"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(records=_JSON, mounts=_JSON)
def test_anything_is_read_or_refused(records: Any, mounts: Any) -> None:
    manifest = DOCUMENT.encode()[1]
    try:
        decode(manifest, json.dumps({**_raw(), "records": records, "mounts": mounts}).encode())
    except Invalid:
        pass
    try:
        extra = {INLINE: {"version": 1, "records": records}}
        decode_inline(Manifest(blob(ONE), (blob(ONE),)), Image(ImageConfig(), (ONE,), extra=extra))
    except Invalid:
        pass
