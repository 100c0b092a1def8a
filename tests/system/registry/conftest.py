"""One registry of each kind for the tests of a worker; each test has a repository of its own."""

import re
from collections.abc import Iterator

import pytest

from tests.support.registry import DockerRegistry, Http, Registry

_NO_CONFIG = "it takes the missing config for a blob with an empty digest"

# What Debian's docker-registry (2.8.2) does otherwise than the distribution specification 1.1, and why.
OTHERWISE = {
    "test_mount_without_from": "its mount needs a source: spec 1.1 leaves that to the registry",
    "test_upload_is_resumed_after_a_gap_is_refused": "2.8 does not look at Content-Range (fixed in 3.0)",
    "test_chunks_that_lie_about_their_size": "2.8 does not look at Content-Range (fixed in 3.0)",
    "test_a_chunk_range_that_cannot_be_read": "2.8 does not look at Content-Range (fixed in 3.0)",
    "test_a_tag_is_deleted": "2.8 deletes by digest only",
    "test_referrers": "2.8 knows no referrers (end-12)",
    "test_referrers_by_artifact_type": "2.8 knows no referrers (end-12)",
    "test_referrers_of_nothing": "2.8 knows no referrers (end-12)",
    "test_referrers_include_the_fallback_tag": "2.8 knows no referrers (end-12)",
    "test_referrers_in_pages": "2.8 knows no referrers (end-12)",
    "test_referrers_with_a_wrong_digest": "2.8 knows no referrers (end-12)",
    "test_a_manifest_may_come_before_its_subject": "2.8 answers without OCI-Subject",
    "test_a_missing_part_is_named": "2.8 answers 400 where spec 1.1 says 404",
    "test_a_wrong_tag_is_refused": "its router answers 404 without an envelope",
    "test_a_wrong_name_is_refused": "its router answers 404 without an envelope",
    "test_a_huge_manifest_is_refused": "2.8 has no envelope for it",
    "test_a_range_outside": "its 416 announces a body that never comes",
    'test_a_manifest_that_is_none[docker-registry-{"schemaVersion":1}]': "2.8 answers 500 to an unsigned schema 1",
    'test_a_manifest_that_is_none[docker-registry-{"schemaVersion":2,"layers":[]}]': _NO_CONFIG,
    'test_a_manifest_that_is_none[docker-registry-{"schemaVersion":2}]': _NO_CONFIG,
    "test_an_unknown_upload": "its locations carry a signed state, without which it says BLOB_UPLOAD_INVALID",
    "test_tags": "2.8 lists tags as the file system does (sorted in 3.0)",
    "test_tags_in_pages": "2.8 does not page tags (fixed in 3.0)",
    "test_tags_none": "2.8 does not page tags (fixed in 3.0)",
    "test_tags_with_a_wrong_number": "2.8 does not page tags (fixed in 3.0)",
}


@pytest.fixture(scope="session")
def wharf_registry() -> Iterator[Registry]:
    with Registry("--gc-interval", "0") as registry:
        yield registry


@pytest.fixture(scope="session")
def docker_registry() -> Iterator[Registry]:
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture(params=["wharf", "docker-registry"])
def http(request: pytest.FixtureRequest) -> Iterator[Http]:
    """A client of one registry; what docker-registry does otherwise must fail there."""
    if request.param == "wharf":
        registry = request.getfixturevalue("wharf_registry")
    else:
        registry = request.getfixturevalue("docker_registry")
        if reason := OTHERWISE.get(request.node.originalname) or OTHERWISE.get(request.node.name):
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    client = Http(registry.port)
    yield client
    client.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return "t/" + re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
