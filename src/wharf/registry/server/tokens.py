"""Signed tokens (the shape of JWT, RFC 7519, with HS256), by which a client shows what it may do.

    header.payload.signature     payload: iss aud sub exp nbf iat jti access [{type, name, actions}]

A refresh (identity) token is signed with another key and names the user only; it ends when the password changes.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

TOKEN_SECONDS = 300
REFRESH_SECONDS = 90 * 86400
SKEW_SECONDS = 30
MAX_TOKEN = 16 << 10
_HEADER = {"typ": "JWT", "alg": "HS256"}

Granted = dict[str, frozenset[str]]
"""Repository -> actions."""


class Tokens:
    """Makes and checks tokens with keys derived from one secret."""

    def __init__(self, secret: bytes, service: str) -> None:
        self._access_key = hmac.digest(secret, b"access token", "sha256")
        self._refresh_key = hmac.digest(secret, b"refresh token", "sha256")
        self._service = service

    def issue(self, user: str, granted: Granted) -> tuple[str, int]:
        """A token and when it was made (Unix seconds)."""
        now = int(time.time())
        access = [{"type": "repository", "name": name, "actions": sorted(actions)} for name, actions in granted.items()]
        payload = {
            "iss": self._service, "aud": self._service, "sub": user, "iat": now, "nbf": now - SKEW_SECONDS,
            "exp": now + TOKEN_SECONDS, "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        return _sign(payload, self._access_key), now

    def check(self, token: str) -> tuple[str, Granted] | None:
        """The user and what was granted, None for a token that is wrong, foreign or too old."""
        payload = self._payload(token, self._access_key)
        if payload is None:
            return None
        granted = {
            entry["name"]: frozenset(entry["actions"]) for entry in payload["access"] if entry["type"] == "repository"
        }
        return str(payload["sub"]), granted

    def issue_refresh(self, user: str, hashed: str) -> str:
        """An identity token; `hashed` is the user's password hash, whose change ends it."""
        now = int(time.time())
        payload = {
            "iss": self._service, "aud": self._service, "sub": user, "iat": now, "nbf": now - SKEW_SECONDS,
            "exp": now + REFRESH_SECONDS, "pwd": _mark(hashed),
        }  # fmt: skip
        return _sign(payload, self._refresh_key)

    def check_refresh(self, token: str) -> tuple[str, str] | None:
        """The user and the mark of the hash that must still be theirs (`mark_of`)."""
        payload = self._payload(token, self._refresh_key)
        return (str(payload["sub"]), str(payload["pwd"])) if payload else None

    @staticmethod
    def mark_of(hashed: str) -> str:
        """What a refresh token remembers of a password hash."""
        return _mark(hashed)

    def _payload(self, token: str, key: bytes) -> dict[str, Any] | None:
        if len(token) > MAX_TOKEN or not token.isascii():
            return None
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(_encode(hmac.digest(key, signed.encode(), "sha256")), signature):
            return None
        # Signed by us, so of our shape.
        payload: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        now = time.time()
        if payload["aud"] != self._service or now > payload["exp"] or now < payload["nbf"]:
            return None
        return payload


def _mark(hashed: str) -> str:
    return hashlib.sha256(b"mark" + hashed.encode()).hexdigest()[:16]


def _sign(payload: dict[str, Any], key: bytes) -> str:
    signed = f"{_encode(_dump(_HEADER))}.{_encode(_dump(payload))}"
    return f"{signed}.{_encode(hmac.digest(key, signed.encode(), 'sha256'))}"


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
