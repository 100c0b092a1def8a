"""Each end point and each error code of the distribution specification 1.1 has its test: the table says which."""

import importlib
import inspect
from types import FunctionType

import pytest

# The end points of "Endpoints" in the specification, without "end-".
END_POINTS = {
    "1": ("blobs", "test_the_base_says_that_it_is_a_registry"),
    "2": ("blobs", "test_a_blob_is_got_and_headed"),
    "3": ("manifests", "test_a_manifest_by_tag_and_digest"),
    "4a": ("uploads", "test_post_then_put"),
    "4b": ("uploads", "test_a_single_post"),
    "5": ("uploads", "test_chunks"),
    "6": ("uploads", "test_post_then_put"),
    "7": ("manifests", "test_a_manifest_is_put"),
    "8a": ("lists", "test_tags"),
    "8b": ("lists", "test_tags_in_pages"),
    "9": ("blobs", "test_a_manifest_is_deleted"),
    "10": ("blobs", "test_a_blob_is_deleted"),
    "11": ("uploads", "test_a_mount"),
    "12a": ("lists", "test_referrers"),
    "12b": ("lists", "test_referrers_by_artifact_type"),
    "13": ("uploads", "test_how_far_an_upload_is"),
    "14": ("uploads", "test_an_upload_is_cancelled"),
}
# The codes of "Error Codes", code-1 to code-14.
CODES = {
    "BLOB_UNKNOWN": ("distribution_blobs", "test_an_unknown_blob"),
    "BLOB_UPLOAD_INVALID": ("distribution_uploads", "test_a_chunk_range_that_cannot_be_read"),
    "BLOB_UPLOAD_UNKNOWN": ("distribution_uploads", "test_an_unknown_upload"),
    "DIGEST_INVALID": ("distribution_uploads", "test_a_wrong_digest"),
    "MANIFEST_BLOB_UNKNOWN": ("distribution_manifests", "test_a_missing_part_is_named"),
    "MANIFEST_INVALID": ("distribution_manifests", "test_a_manifest_that_is_none"),
    "MANIFEST_UNKNOWN": ("distribution_manifests", "test_an_unknown_manifest"),
    "NAME_INVALID": ("distribution_manifests", "test_a_wrong_name_is_refused"),
    "NAME_UNKNOWN": ("distribution_lists", "test_tags_of_nothing"),
    "SIZE_INVALID": ("distribution_uploads", "test_chunks_that_lie_about_their_size"),
    "UNAUTHORIZED": ("access", "test_a_wrong_password"),
    "DENIED": ("access", "test_rights"),
    "UNSUPPORTED": ("image_serve", "test_it_is_read_only"),
    "TOOMANYREQUESTS": ("access", "test_guessing_is_slowed_down"),
}
METHODS = {"2": "HEAD", "3": "HEAD", "4b": "POST", "5": "PATCH", "9": "DELETE", "10": "DELETE", "13": "GET"}


def source(module: str, test: str) -> str:
    """The text of a test; fails when it is gone."""
    found = getattr(importlib.import_module(f"tests.system.registry.test_{module}"), test)
    assert isinstance(found, FunctionType)
    return inspect.getsource(found)


@pytest.mark.parametrize("number", END_POINTS)
def test_an_end_point_has_a_test(number: str) -> None:
    module, test = END_POINTS[number]
    text = source(f"distribution_{module}", test)
    assert "/v2/" in text or "begin(" in text
    assert f'"{METHODS.get(number, "")}' in text


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_a_test(code: str) -> None:
    assert f'"{code}"' in source(*CODES[code])
