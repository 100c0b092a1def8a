"""Blobs and deletes of the OCI distribution specification 1.1, driven over HTTP: ours and docker-registry.

What docker-registry does otherwise is listed in conftest.py, and must be so.
"""

import pytest

from tests.support.distribution import NOWHERE
from tests.support.registry import Http, subject_of

# end-1


def test_the_base_says_that_it_is_a_registry(http: Http) -> None:
    answer = http("GET", "/v2/")
    assert answer.status == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


# end-2: blobs


def test_a_blob_is_got_and_headed(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"some bytes")
    for method, body in (("GET", b"some bytes"), ("HEAD", b"")):
        answer = http(method, f"/v2/{name}/blobs/{digest}")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["Content-Length"] == "10"
        assert answer.headers["Docker-Content-Digest"] == digest


def test_an_unknown_blob(http: Http, name: str) -> None:
    http.push_blob(name, b"x")
    answer = http("GET", f"/v2/{name}/blobs/{NOWHERE}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    answer = http("HEAD", f"/v2/{name}/blobs/{NOWHERE}")
    assert (answer.status, answer.body) == (404, b"")


def test_a_blob_of_another_repository_is_unknown(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"mine")
    assert http("GET", f"/v2/{name}-other/blobs/{digest}").status == 404


@pytest.mark.parametrize(
    ("asked", "given", "place"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
    ],
)
def test_a_range_of_a_blob(http: Http, name: str, asked: str, given: bytes, place: str) -> None:
    digest = http.push_blob(name, b"0123456789")
    answer = http("GET", f"/v2/{name}/blobs/{digest}", Range=asked)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, given, place)


def test_a_range_outside(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"0123456789")
    answer = http("GET", f"/v2/{name}/blobs/{digest}", Range="bytes=10-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_a_blob_that_the_client_has(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"0123456789")
    tag = http("HEAD", f"/v2/{name}/blobs/{digest}").headers["ETag"]
    answer = http("GET", f"/v2/{name}/blobs/{digest}", If_None_Match=tag)
    assert (answer.status, answer.body) == (304, b"")
    assert http("GET", f"/v2/{name}/blobs/{digest}", If_None_Match='"other"').status == 200


def test_an_empty_blob(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"")
    answer = http("GET", f"/v2/{name}/blobs/{digest}")
    assert (answer.status, answer.body) == (200, b"")


# end-9, 10: deletes


def test_a_manifest_is_deleted(http: Http, name: str) -> None:
    digest = subject_of(http.push_image(name, "one"))["digest"]
    assert http("DELETE", f"/v2/{name}/manifests/{digest}").status == 202
    for reference in (digest, "one"):
        assert http("GET", f"/v2/{name}/manifests/{reference}").status == 404
    answer = http("DELETE", f"/v2/{name}/manifests/{digest}")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])


def test_a_tag_is_deleted(http: Http, name: str) -> None:
    digest = subject_of(http.push_image(name, "one"))["digest"]
    assert http("DELETE", f"/v2/{name}/manifests/one").status == 202
    assert http("GET", f"/v2/{name}/manifests/one").status == 404
    assert http("HEAD", f"/v2/{name}/manifests/{digest}").status == 200


def test_a_blob_is_deleted(http: Http, name: str) -> None:
    digest = http.push_blob(name, b"to go")
    assert http("DELETE", f"/v2/{name}/blobs/{digest}").status == 202
    assert http("HEAD", f"/v2/{name}/blobs/{digest}").status == 404
    answer = http("DELETE", f"/v2/{name}/blobs/{digest}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])


# What is not there.


def test_a_method_that_is_not_supported(http: Http, name: str) -> None:
    answer = http("DELETE", f"/v2/{name}/tags/list")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


def test_another_path(http: Http) -> None:
    assert http("GET", "/v1/_ping").status == 404
