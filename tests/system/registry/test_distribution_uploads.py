"""Uploads and mounts of the OCI distribution specification 1.1, driven over HTTP: ours and docker-registry.

What docker-registry does otherwise is listed in conftest.py, and must be so.
"""

import uuid

import pytest

from tests.support.distribution import NOWHERE, begin, closing
from tests.support.registry import OCTETS, Http, digest_of

# end-4, 5, 6, 13, 14: uploads


def test_post_then_put(http: Http, name: str) -> None:
    answer = http("PUT", closing(begin(http, name), b"whole"), b"whole", **OCTETS)
    assert answer.status == 201
    assert http("GET", answer.headers["Location"]).body == b"whole"


def test_a_single_post(http: Http, name: str) -> None:
    """end-4b: the blob at once, or an upload to go on with."""
    answer = http("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(b'at once')}", b"at once", **OCTETS)
    if answer.status == 202:
        answer = http("PUT", closing(answer.headers["Location"], b"at once"), b"at once", **OCTETS)
    assert answer.status == 201
    assert http("GET", f"/v2/{name}/blobs/{digest_of(b'at once')}").body == b"at once"


def test_chunks(http: Http, name: str) -> None:
    location, data = begin(http, name), b"abcdefghij"
    for first, last in ((0, 3), (4, 6)):
        answer = http("PATCH", location, data[first : last + 1], Content_Range=f"{first}-{last}", **OCTETS)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{last}")
        location = answer.headers["Location"]
    answer = http("PUT", closing(location, data), data[7:], Content_Range="7-9", **OCTETS)
    assert answer.status == 201
    assert http("GET", f"/v2/{name}/blobs/{digest_of(data)}").body == data


def test_a_stream_of_unknown_length(http: Http, name: str) -> None:
    location = begin(http, name)
    pieces = [b"a" * 70_000, b"b", b"c" * 300_000]
    answer = http("PATCH", location, iter(pieces), Transfer_Encoding="chunked", **OCTETS)
    assert answer.status == 202
    assert http("PUT", closing(answer.headers["Location"], b"".join(pieces))).status == 201
    assert http("GET", f"/v2/{name}/blobs/{digest_of(b''.join(pieces))}").body == b"".join(pieces)


def test_how_far_an_upload_is(http: Http, name: str) -> None:
    location = http("PATCH", begin(http, name), b"12345", **OCTETS).headers["Location"]
    answer = http("GET", location)
    assert (answer.status, answer.headers["Range"]) == (204, "0-4")
    assert answer.headers["Location"]


def test_upload_is_resumed_after_a_gap_is_refused(http: Http, name: str) -> None:
    location, data = begin(http, name), b"abcdefghij"
    location = http("PATCH", location, data[:4], Content_Range="0-3", **OCTETS).headers["Location"]
    for wrong in ("5-9", "0-4"):
        first, last = map(int, wrong.split("-"))
        assert http("PATCH", location, data[first : last + 1], Content_Range=wrong, **OCTETS).status == 416
    answer = http("GET", location)
    assert (answer.status, answer.headers["Range"]) == (204, "0-3")
    location = http("PATCH", answer.headers["Location"], data[4:], Content_Range="4-9", **OCTETS).headers["Location"]
    assert http("PUT", closing(location, data)).status == 201


def test_chunks_that_lie_about_their_size(http: Http, name: str) -> None:
    answer = http("PATCH", begin(http, name), b"123", Content_Range="0-9", **OCTETS)
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])


def test_a_chunk_range_that_cannot_be_read(http: Http, name: str) -> None:
    answer = http("PATCH", begin(http, name), b"123", Content_Range="a-b", **OCTETS)
    assert (answer.status, answer.codes) == (400, ["BLOB_UPLOAD_INVALID"])


def test_an_upload_is_cancelled(http: Http, name: str) -> None:
    location = begin(http, name)
    assert http("DELETE", location).status == 204
    answer = http("GET", location)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_an_unknown_upload(http: Http, name: str, method: str) -> None:
    http.push_blob(name, b"x")
    location = f"/v2/{name}/blobs/uploads/{uuid.uuid4()}"
    answer = http(method, closing(location, b"x") if method == "PUT" else location)
    assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_a_wrong_digest(http: Http, name: str) -> None:
    answer = http("PUT", closing(begin(http, name), b"this"), b"that", **OCTETS)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert http("HEAD", f"/v2/{name}/blobs/{digest_of(b'this')}").status == 404
    assert http("HEAD", f"/v2/{name}/blobs/{digest_of(b'that')}").status == 404


@pytest.mark.parametrize("digest", ["", "sha256:short", "nonsense", "sha256:" + "G" * 64])
def test_a_digest_that_cannot_be(http: Http, name: str, digest: str) -> None:
    location = begin(http, name)
    answer = http("PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", b"x", **OCTETS)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


# end-11: mounts


def test_a_mount(http: Http, name: str) -> None:
    digest = http.push_blob(f"{name}/from", b"to be mounted")
    answer = http("POST", f"/v2/{name}/to/blobs/uploads/?mount={digest}&from={name}/from")
    assert answer.status == 201
    assert http("GET", answer.headers["Location"]).body == b"to be mounted"
    assert http("GET", f"/v2/{name}/to/blobs/{digest}").body == b"to be mounted"


def test_a_mount_of_what_is_not_there(http: Http, name: str) -> None:
    answer = http("POST", f"/v2/{name}/blobs/uploads/?mount={NOWHERE}&from={name}/from")
    assert answer.status == 202
    assert http("PUT", closing(answer.headers["Location"], b"x"), b"x", **OCTETS).status == 201


def test_mount_without_from(http: Http, name: str) -> None:
    """A registry may find the blob itself; ours does where the client can read it anyway: here."""
    digest = http.push_blob(name, b"here already")
    assert http("POST", f"/v2/{name}/blobs/uploads/?mount={digest}").status == 201
