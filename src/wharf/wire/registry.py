"""What clients send about registries: credentials in headers (base64 of JSON), platforms as JSON."""

import base64
import binascii
import json
from typing import Any

from wharf.errors import Invalid
from wharf.spec.platform import Platform
from wharf.spec.registry import RegistryLogin
from wharf.wire.gojson import GoSyntaxError, loads_as_go

MAX_HEADER = 64 << 10


def parse_auth(text: str) -> RegistryLogin:
    """X-Registry-Auth; nobody's for an empty header. Raises Invalid."""
    raw = _decoded(text, "X-Registry-Auth")
    return login_of(raw) if isinstance(raw, dict) else RegistryLogin()


def parse_auths(text: str) -> dict[str, RegistryLogin]:
    """X-Registry-Config of a build: credentials by host. Raises Invalid."""
    raw = _decoded(text, "X-Registry-Config")
    if not isinstance(raw, dict):
        return {}
    return {host: login_of(value) for host, value in raw.items() if isinstance(value, dict)}


def login_of(raw: dict[str, Any]) -> RegistryLogin:
    """Docker's AuthConfig; `auth` is base64 of `user:password`. Raises Invalid."""

    def text(key: str) -> str:
        value = next((raw[name] for name in raw if name.lower() == key), None)
        if value is not None and not isinstance(value, str):
            raise Invalid(f"invalid registry credentials: {key} is not a string")
        return value or ""

    username, password = text("username"), text("password")
    if not username and text("auth"):
        username, _, password = _base64(text("auth")).decode("utf-8", "replace").partition(":")
    return RegistryLogin(username, password, text("identitytoken"), text("registrytoken"), text("serveraddress"))


def platform_json(text: str) -> Platform | None:
    """`platform` of a push: an OCI platform as JSON; None when it is not given. Raises Invalid."""
    if not text:
        return None
    try:
        raw = loads_as_go(text.encode("utf-8", "replace"))
    except GoSyntaxError as error:
        raise Invalid(f"failed to parse platform: {error}") from None
    if not isinstance(raw, dict) or not all(isinstance(value, str | list) for value in raw.values()):
        raise Invalid("failed to parse platform: not a platform")
    if not raw.get("os") or not raw.get("architecture"):
        raise Invalid("both OS and Architecture must be provided")
    return Platform(str(raw["os"]), str(raw["architecture"]), str(raw.get("variant") or ""))


def _decoded(text: str, name: str) -> Any:
    if not text or text == "null":
        return None
    if len(text) > MAX_HEADER:
        raise Invalid(f"invalid {name} header: more than {MAX_HEADER} bytes")
    try:
        return json.loads(_base64(text))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid {name} header: {error}") from None


def _base64(text: str) -> bytes:
    """Either alphabet, with or without padding: clients differ."""
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise Invalid(f"invalid registry credentials: {error}") from None
