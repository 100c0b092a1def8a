"""Pieces of the tests of the distribution's end points."""

from typing import Any

from tests.support.registry import EMPTY, Http, descriptor, digest_of, image, subject_of

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
