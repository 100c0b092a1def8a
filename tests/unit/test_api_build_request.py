"""What POST /build refuses before it reads a context, in the words Docker 28.5.2 was seen to use."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from wharf.api.build_request import build_request
from wharf.api.http import Body, Request
from wharf.api.server import Api
from wharf.errors import Denied, Invalid
from wharf.spec.platform import Platform

CONFIG = SimpleNamespace(build_entitlements=frozenset({"network.host"}))
API = cast(Api, SimpleNamespace(engine=SimpleNamespace(config=CONFIG, images=SimpleNamespace(platform=Platform()))))
FAULT = "invalid character 'x' looking for beginning of value"


def asked(**query: str) -> Any:
    request = Request("POST", "/build", {name: [value] for name, value in query.items()}, {}, cast(Body, None))
    return build_request(API, request)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"version": "01"}, 'invalid version "01"'),
        ({"version": "3"}, 'invalid version "3"'),
        ({"isolation": "hyperv"}, 'unsupported isolation: "hyperv"'),
        ({"buildargs": "x"}, f"error reading build args: {FAULT}"),
        ({"labels": "x"}, f"error reading labels: {FAULT}"),
        ({"cachefrom": "x"}, f"error reading cache-from: {FAULT}"),
        ({"entitlements": "network.host,x"}, "unknown entitlement key x"),
        ({"ulimits": "x"}, f"error reading ulimit settings: {FAULT}"),
    ],
)
def test_refused(query: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        asked(**query)
    assert refused.value.message == words


def test_taken() -> None:
    wanted = asked(version="1", isolation="Default", buildargs='{"A":"b","C":null}', labels="null", ulimits="null")
    assert wanted.options.build_args == {"A": "b"} and wanted.options.labels == {} and wanted.options.ulimits == ()


def test_entitlements_are_given_where_the_daemon_grants_them() -> None:
    assert asked(entitlements="network.host").options.allow == {"network.host"}
    with pytest.raises(Denied, match=r"granting entitlement security\.insecure is not allowed by build daemon"):
        asked(entitlements="network.host,security.insecure")
