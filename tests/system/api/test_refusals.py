"""Requests that are refused in Docker's words and with its status, as Docker 28.5.2 was seen to refuse them."""

from pathlib import Path

import pytest

from tests.support.busybox import docker_archive
from tests.system.api.raw import Client

ARM = "%7B%22os%22:%22linux%22,%22architecture%22:%22arm64%22%7D"
AMD = ARM.replace("arm64", "amd64")
ATOI = 'strconv.Atoi: parsing "x": invalid syntax'
OTHER = "image with reference busybox was found but its platform (linux/amd64) does not match the specified platform "


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/build/prune?keep-storage=x", 400, f"keep-storage is in bytes and expects an integer, got x: {ATOI}"),
        ("GET", f"/images/search?term={'a' * 9000}", 400, "invalid search term: more than 4096 characters in a URL"),
        ("GET", "/images/search?term=a&limit=x", 400, f"invalid limit specified: {ATOI}"),
        ("GET", "/containers/json?limit=x&filters=x", 400, "invalid filter"),
        ("GET", "/containers/json?limit=x", 500, ATOI),
        ("GET", f"/images/busybox/json?platform={ARM}", 404, f"{OTHER}(linux/arm64)"),
        ("GET", f"/images/busybox/history?platform={ARM}", 404, f"{OTHER}(linux/arm64)"),
        ("GET", f"/images/busybox/get?platform={ARM}", 500, "no suitable export target found for platform linux/arm64"),
        (
            "GET",
            f"/images/busybox/get?platform={ARM}&platform={AMD}",
            400,
            "multiple platform parameters not supported",
        ),
        ("GET", f"/images/busybox/json?platform={AMD}&manifests=1", 400, "conflicting options: manifests and platform"),
        ("GET", "/images/busybox/json?platform=x", 400, "failed to parse platform: invalid character 'x' looking for "),
        ("GET", "/images/get?names=A&platform=%7B%7D", 400, "both OS and Architecture must be provided"),
        ("POST", "/images/create?fromSrc=%7B%7D", 400, 'parse "http://{}": invalid character "{" in host name'),
        ("POST", "/images/create?fromSrc=%2500", 400, 'parse "http://%00": invalid URL escape "%00"'),
        ("POST", "/images/create?fromSrc=%C3%B7", 500, 'Get "http://÷": dial tcp: lookup ÷: no such host'),
    ],
)
def test_refused(api: Client, method: str, path: str, status: int, words: str) -> None:
    answer = api.ask(method, path)
    assert (answer.status, answer.message[: len(words)]) == (status, words)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("host:x", 'parse "https://host:x": invalid port ":x" after host'),
        ("a b", 'parse "https://a b": invalid character " " in host name'),
        ("%zz", 'parse "https://%zz": invalid URL escape "%zz"'),
    ],
)
def test_no_server_to_log_in_to(api: Client, server: str, words: str) -> None:
    answer = api.ask("POST", "/auth", {"serveraddress": server})
    assert (answer.status, answer.message) == (400, f"unable to parse server address: {words}")


def test_a_server_with_an_endless_name(api: Client) -> None:
    answer = api.ask("POST", "/auth", {"serveraddress": "a" * 20_000})
    assert answer.status == 400 and answer.message.startswith("unable to parse server address: ")
    assert len(answer.message) < 500


def test_a_signal_that_is_none_does_not_matter_to_what_has_ended(api: Client) -> None:
    assert api.create({"Cmd": ["true"]}, "refusals-ended").status == 201
    assert api.ask("POST", "/containers/refusals-ended/stop?signal=y").status == 304
    api.ask("DELETE", "/containers/refusals-ended")


def test_an_archive_gives_its_images_of_the_platform_asked_for(api: Client, tmp_path: Path) -> None:
    archive = docker_archive("refusals:other")
    assert api.ask("POST", f"/images/load?platform={ARM}", archive).status == 200
    assert api.ask("GET", "/images/refusals:other/json").status == 404
    assert api.ask("POST", f"/images/load?platform={AMD}", archive).status == 200
    assert api.ask("GET", f"/images/refusals:other/json?platform={AMD}").status == 200
    api.ask("DELETE", "/images/refusals:other")
