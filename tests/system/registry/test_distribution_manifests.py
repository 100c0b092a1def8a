"""Manifests of the OCI distribution specification 1.1, driven over HTTP: ours and docker-registry.

What docker-registry does otherwise is listed in conftest.py, and must be so.
"""

import json

import pytest

from tests.support.distribution import NOWHERE
from tests.support.registry import INDEX, Http, config_of, descriptor, digest_of, image, layer_of, subject_of

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
