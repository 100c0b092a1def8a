"""Lists of the OCI distribution specification 1.1, driven over HTTP: ours and docker-registry.

What docker-registry does otherwise is listed in conftest.py, and must be so.
"""

import json
from typing import Any

from tests.support.distribution import NOWHERE, artifact
from tests.support.registry import INDEX, Http, digest_of, image, subject_of

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
