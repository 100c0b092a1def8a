"""The end points of the OCI distribution specification 1.1, driven over HTTP: ours and the distribution's registry.

What docker-registry does otherwise is listed in conftest.py, and must be so.
"""

import json
import uuid
from typing import Any

import pytest

from tests.support.registry import (
    EMPTY,
    INDEX,
    OCTETS,
    Http,
    config_of,
    descriptor,
    digest_of,
    image,
    layer_of,
    subject_of,
)

NOWHERE = "sha256:" + "0" * 64


def begin(http: Http, name: str) -> str:
    """The location of a new upload."""
    answer = http("POST", f"/v2/{name}/blobs/uploads/")
    assert answer.status == 202
    return answer.headers["Location"]


def closing(location: str, data: bytes) -> str:
    """The location with the digest of the whole."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest_of(data)}"


def artifact(about: dict[str, Any], kind: str, **more: Any) -> dict[str, Any]:
    """A manifest that refers to another one."""
    return {**image(b"", **more), "config": descriptor(b"{}", EMPTY), "artifactType": kind,
            "layers": [descriptor(b"{}", EMPTY)], "subject": subject_of(about)}  # fmt: skip


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


# end-3: manifests


def test_a_manifest_by_tag_and_digest(http: Http, name: str) -> None:
    document = http.push_image(name, "one")
    data = json.dumps(document).encode()
    for reference in ("one", digest_of(data)):
        for method, body in (("GET", data), ("HEAD", b"")):
            answer = http(method, f"/v2/{name}/manifests/{reference}", Accept=document["mediaType"])
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["Content-Type"] == document["mediaType"]
            assert answer.headers["Content-Length"] == str(len(data))
            assert answer.headers["Docker-Content-Digest"] == digest_of(data)


@pytest.mark.parametrize("reference", ["nothing", NOWHERE])
def test_an_unknown_manifest(http: Http, name: str, reference: str) -> None:
    http.push_image(name, "one")
    answer = http("GET", f"/v2/{name}/manifests/{reference}")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])
    assert http("HEAD", f"/v2/{name}/manifests/{reference}").status == 404


def test_a_manifest_that_the_client_has(http: Http, name: str) -> None:
    document = http.push_image(name, "one")
    tag = http("HEAD", f"/v2/{name}/manifests/one", Accept=document["mediaType"]).headers["ETag"]
    answer = http("GET", f"/v2/{name}/manifests/one", If_None_Match=tag, Accept=document["mediaType"])
    assert (answer.status, answer.body) == (304, b"")


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


# end-7: manifests in


def test_a_manifest_is_put(http: Http, name: str) -> None:
    http.push_blob(name, config_of(b""))
    http.push_blob(name, layer_of(b""))
    data = json.dumps(image()).encode()
    answer = http("PUT", f"/v2/{name}/manifests/one", data, Content_Type=image()["mediaType"])
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest_of(data))
    assert http("GET", answer.headers["Location"], Accept=image()["mediaType"]).body == data


def test_a_missing_part_is_named(http: Http, name: str) -> None:
    http.push_blob(name, config_of(b"q"))
    answer = http("PUT", f"/v2/{name}/manifests/one", json.dumps(image(b"q")), Content_Type=image()["mediaType"])
    assert (answer.status, answer.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"])
    assert digest_of(layer_of(b"q")) in answer.body.decode()
    assert http("GET", f"/v2/{name}/manifests/one").status == 404


def test_a_foreign_layer_need_not_be_here(http: Http, name: str) -> None:
    http.push_blob(name, config_of(b""))
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    far = descriptor(b"far", kind, urls=["https://example.com/layer"])
    document = {**image(), "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": [far]}
    document["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    http.push_manifest(name, "foreign", document)


def test_an_index(http: Http, name: str) -> None:
    children = [subject_of(http.push_image(name, "", seed)) for seed in (b"1", b"2")]
    platforms = [{"architecture": word, "os": "linux"} for word in ("amd64", "arm64")]
    entries = [{**child, "platform": platform} for child, platform in zip(children, platforms, strict=True)]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    digest = http.push_manifest(name, "all", document)
    answer = http("GET", f"/v2/{name}/manifests/all", Accept=INDEX)
    assert (answer.json, answer.headers["Docker-Content-Digest"]) == (document, digest)


def test_a_tag_moves(http: Http, name: str) -> None:
    first = http.push_image(name, "latest", b"1")
    second = http.push_image(name, "latest", b"2")
    accept = first["mediaType"]
    assert http("GET", f"/v2/{name}/manifests/latest", Accept=accept).json == second
    assert http("GET", f"/v2/{name}/manifests/{subject_of(first)['digest']}", Accept=accept).json == first


def test_a_manifest_under_a_wrong_digest(http: Http, name: str) -> None:
    http.push_image(name, "one")
    answer = http("PUT", f"/v2/{name}/manifests/{NOWHERE}", json.dumps(image()), Content_Type=image()["mediaType"])
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"schemaVersion":1}', '{"schemaVersion":2,"layers":[]}', '{"schemaVersion":2}']
)
def test_a_manifest_that_is_none(http: Http, name: str, text: str) -> None:
    answer = http("PUT", f"/v2/{name}/manifests/one", text, Content_Type=image()["mediaType"])
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])


def test_a_huge_manifest_is_refused(http: Http, name: str) -> None:
    document = json.dumps({**image(), "annotations": {"x": "y" * (5 << 20)}})
    answer = http("PUT", f"/v2/{name}/manifests/one", document, Content_Type=image()["mediaType"])
    assert (answer.status, answer.codes) == (413, ["SIZE_INVALID"])


@pytest.mark.parametrize("tag", ["-x", "a" * 129, ".x", "a%20b"])
def test_a_wrong_tag_is_refused(http: Http, name: str, tag: str) -> None:
    answer = http("GET", f"/v2/{name}/manifests/{tag}")
    assert (answer.status, answer.codes) == (400, ["TAG_INVALID"])


@pytest.mark.parametrize("wrong", ["UPPER", "a//b", "-a", "a" * 256, "a/..%2fb", "a%00b", "a/_b", "a..b"])
def test_a_wrong_name_is_refused(http: Http, wrong: str) -> None:
    answer = http("GET", f"/v2/{wrong}/manifests/one")
    assert (answer.status, answer.codes) == (400, ["NAME_INVALID"])


# end-8: tags


def test_tags(http: Http, name: str) -> None:
    for tag in ("b", "a", "1.0", "B"):
        http.push_image(name, tag)
    answer = http("GET", f"/v2/{name}/tags/list")
    assert answer.json == {"name": name, "tags": ["1.0", "B", "a", "b"]}


def test_tags_in_pages(http: Http, name: str) -> None:
    for tag in "edcba":
        http.push_image(name, tag)
    found, path = [], f"/v2/{name}/tags/list?n=2"
    while path:
        answer = http("GET", path)
        assert len(answer.json["tags"]) <= 2
        found += answer.json["tags"]
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition(">")[0].lstrip("<")
    assert found == list("abcde")
    assert http("GET", f"/v2/{name}/tags/list?last=c").json["tags"] == ["d", "e"]


def test_tags_none(http: Http, name: str) -> None:
    http.push_image(name, "one")
    assert http("GET", f"/v2/{name}/tags/list?n=0").json["tags"] == []


def test_tags_with_a_wrong_number(http: Http, name: str) -> None:
    http.push_image(name, "one")
    answer = http("GET", f"/v2/{name}/tags/list?n=many")
    assert (answer.status, answer.codes) == (400, ["PAGINATION_NUMBER_INVALID"])


def test_tags_of_nothing(http: Http, name: str) -> None:
    answer = http("GET", f"/v2/{name}/tags/list")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])


def test_the_catalog(http: Http, name: str) -> None:
    for part in ("a", "b", "c"):
        http.push_image(f"{name}/{part}", "one")
    found, path = [], f"/v2/_catalog?n=2&last={name}"
    while path and f"{name}/c" not in found:
        answer = http("GET", path)
        found += answer.json["repositories"]
        path = answer.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert [item for item in found if item.startswith(name + "/")] == [f"{name}/a", f"{name}/b", f"{name}/c"]


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


# end-12: referrers


def push_artifact(http: Http, name: str, about: dict[str, Any], kind: str, note: str = "") -> dict[str, Any]:
    """Push a referrer; the descriptor that lists must show."""
    http.push_blob(name, b"{}")
    document = artifact(about, kind, annotations={"note": note})
    http.push_manifest(name, "", document)
    return {**subject_of(document), "artifactType": kind, "annotations": {"note": note}}


def test_a_manifest_may_come_before_its_subject(http: Http, name: str) -> None:
    http.push_blob(name, b"{}")
    document = artifact(image(b"later"), "application/x")
    data = json.dumps(document)
    answer = http("PUT", f"/v2/{name}/manifests/{digest_of(data.encode())}", data, Content_Type=document["mediaType"])
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject_of(image(b"later"))["digest"])


def test_referrers(http: Http, name: str) -> None:
    about = http.push_image(name, "one")
    expected = [push_artifact(http, name, about, kind, "n") for kind in ("application/a", "application/b")]
    answer = http("GET", f"/v2/{name}/referrers/{subject_of(about)['digest']}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, INDEX)
    assert answer.json["manifests"] == sorted(expected, key=lambda item: item["digest"])
    assert "OCI-Filters-Applied" not in answer.headers


def test_referrers_by_artifact_type(http: Http, name: str) -> None:
    about = http.push_image(name, "one")
    expected = [push_artifact(http, name, about, kind) for kind in ("application/a", "application/b")]
    answer = http("GET", f"/v2/{name}/referrers/{subject_of(about)['digest']}?artifactType=application/b")
    assert answer.json["manifests"] == expected[1:]
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"


def test_referrers_in_pages(http: Http, name: str) -> None:
    about = http.push_image(name, "one")
    expected = sorted(push_artifact(http, name, about, "application/a", str(n))["digest"] for n in range(3))
    found, path = [], f"/v2/{name}/referrers/{subject_of(about)['digest']}?n=2"
    while path:
        answer = http("GET", path)
        found += [item["digest"] for item in answer.json["manifests"]]
        path = answer.headers.get("Link", "").partition(">")[0].lstrip("<")
    assert found == expected


def test_referrers_of_nothing(http: Http, name: str) -> None:
    answer = http("GET", f"/v2/{name}/referrers/{NOWHERE}")
    assert (answer.status, answer.json["manifests"]) == (200, [])


def test_referrers_with_a_wrong_digest(http: Http, name: str) -> None:
    answer = http("GET", f"/v2/{name}/referrers/nonsense")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


def test_referrers_include_the_fallback_tag(http: Http, name: str) -> None:
    about = http.push_image(name, "one")
    other = subject_of(http.push_image(name, "", b"signature"))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**other, "artifactType": "application/sig"}]}
    http.push_manifest(name, subject_of(about)["digest"].replace(":", "-"), index)
    answer = http("GET", f"/v2/{name}/referrers/{subject_of(about)['digest']}")
    assert answer.json["manifests"] == [{**other, "artifactType": "application/sig"}]


# What is not there.


def test_a_method_that_is_not_supported(http: Http, name: str) -> None:
    answer = http("DELETE", f"/v2/{name}/tags/list")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]


def test_another_path(http: Http) -> None:
    assert http("GET", "/v1/_ping").status == 404
