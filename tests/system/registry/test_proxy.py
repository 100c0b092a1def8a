"""A cache of another registry: fetched once, served ever after, never wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import Http, Registry, digest_of, image, layer_of, subject_of


@pytest.fixture
def upstream() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def fetch(http: Http, tag: str = "one") -> dict[str, object]:
    """Manifest and blobs, as a client pulls; the manifest."""
    answer = http("GET", f"/v2/team/app/manifests/{tag}")
    assert answer.status == 200, answer.body
    for item in (answer.json["config"], *answer.json["layers"]):
        found = http("GET", f"/v2/team/app/blobs/{item['digest']}")
        assert (found.status, digest_of(found.body)) == (200, item["digest"])
    document: dict[str, object] = answer.json
    return document


def test_what_was_fetched_is_served_without_upstream(upstream: Registry) -> None:
    direct = Http(upstream.port)
    document = direct.push_image("team/app", "one")
    direct.close()
    with Registry("--proxy", f"http://{upstream.host}", "--proxy-fresh", "0") as cache:
        http = Http(cache.port)
        assert fetch(http) == document
        assert subject_of(document)["digest"] in cache.blobs()
        upstream.stop()
        assert fetch(http) == document
        assert http("HEAD", f"/v2/team/app/blobs/{digest_of(layer_of(b''))}").status == 200
        assert http("GET", "/v2/team/app/manifests/two").status == 404
        http.close()


def test_a_tag_that_moves(upstream: Registry) -> None:
    direct = Http(upstream.port)
    direct.push_image("team/app", "one", b"1")
    with Registry("--proxy", f"http://{upstream.host}", "--proxy-fresh", "0") as cache:
        http = Http(cache.port)
        assert fetch(http) == image(b"1")
        direct.push_image("team/app", "one", b"2")
        assert fetch(http) == image(b"2")
        http.close()
    direct.close()


def test_a_cache_takes_no_pushes_and_knows_no_more_than_upstream(upstream: Registry) -> None:
    with Registry("--proxy", f"http://{upstream.host}") as cache:
        http = Http(cache.port)
        answer = http("POST", "/v2/team/app/blobs/uploads/")
        assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
        assert http("GET", "/v2/team/app/manifests/one").status == 404
        assert http("GET", f"/v2/team/app/blobs/{digest_of(b'x')}").status == 404
        assert http("HEAD", f"/v2/team/app/blobs/{digest_of(b'x')}").status == 404
        http.close()


def test_a_private_upstream(tmp_path: Path) -> None:
    private = Registry()
    # The directory is made by the first command.
    private.run("user", "add", "team", feed="secret\n")
    (tmp_path / "password").write_text("secret\n")
    with private:
        for user, expected in (("team", 200), ("", 404)):
            flags = ["--proxy", f"http://{private.host}"]
            if user:
                flags += ["--proxy-user", user, "--proxy-password-file", str(tmp_path / "password")]
            direct = Http(private.port)
            with Registry(*flags) as cache:
                http = Http(cache.port)
                from tests.system.registry.test_access import basic

                scope = "service=wharf-registry&scope=repository:team/app:pull,push"
                token = direct("GET", f"/token?{scope}", Authorization=basic("team", "secret")).json["token"]
                direct.authorization = f"Bearer {token}"
                direct.push_image("team/app", "one")
                assert http("GET", "/v2/team/app/manifests/one").status == expected
                http.close()
            direct.close()


def test_a_damaged_blob_never_arrives_whole(upstream: Registry) -> None:
    import http.client as client

    direct = Http(upstream.port)
    direct.push_image("team/app", "one")
    direct.close()
    digest = digest_of(layer_of(b""))
    path = Path(upstream.root) / "content/blobs/sha256" / digest.removeprefix("sha256:")
    path.write_bytes(b"X" * len(layer_of(b"")))
    with Registry("--proxy", f"http://{upstream.host}") as cache:
        http = Http(cache.port)
        with pytest.raises((client.HTTPException, OSError)):
            http("GET", f"/v2/team/app/blobs/{digest}")
        assert digest not in cache.blobs()
        http.close()
        assert not list((Path(cache.root) / "uploads").iterdir())
