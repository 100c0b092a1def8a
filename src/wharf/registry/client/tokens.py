"""Authorization at one place: basic passwords, bearer tokens of a realm, identity tokens.

Nothing is sent before a registry asks. A token is kept for its scope until shortly before its end. Credentials go to
the registry they were given for and to realms that belong to it (`trust.may_see`): any other realm is asked without,
as a stranger would.
"""

import base64
import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from wharf.errors import Unauthorized
from wharf.registry.client.challenge import Challenge
from wharf.registry.client.errors import Misbehaves, refused
from wharf.registry.client.http import Connections
from wharf.registry.client.trust import Origin, is_insecure, may_see, split_url
from wharf.registry.client.values import NOBODY, ClientConfig, Credentials

CLIENT_ID = "docker"
DEFAULT_LIFE = 60
"""Seconds of a token that does not say (distribution's token specification)."""
MARGIN = 10
MAX_KEPT = 1000
MAX_TOKEN = 64 << 10


@dataclass(frozen=True, slots=True)
class _Key:
    realm: str
    service: str
    scope: str
    credentials: Credentials


class Tokens:
    """Kept tokens of all places; safe for use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[_Key, tuple[str, float]] = {}

    def get(self, key: _Key) -> str:
        """The token, "" when there is none or it is about to end."""
        with self._lock:
            token, until = self._kept.get(key, ("", 0.0))
            return token if time.monotonic() < until else ""

    def put(self, key: _Key, token: str, seconds: int) -> None:
        """Keep a token."""
        with self._lock:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = (token, time.monotonic() + max(seconds - MARGIN, 1))


class Authorizer:
    """Finds the Authorization for requests to one origin that serves the names of `domain`."""

    def __init__(
        self, connections: Connections, tokens: Tokens, config: ClientConfig, domain: str, credentials: Credentials
    ) -> None:
        self._connections, self._tokens, self._config = connections, tokens, config
        self._domain, self._credentials = domain, credentials
        self._last: Challenge | None = None
        self.offline = False
        """Ask for an identity token as well."""
        self.identity_token = ""

    def known(self, scope: str) -> str:
        """What to send with the first try; "" while nothing is known."""
        last = self._last
        if last is None:
            return ""
        if last.scheme == "basic":
            return self._basic(self._credentials)
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        token = self._tokens.get(self._key(last, scope))
        return f"Bearer {token}" if token else ""

    def answer(self, origin: Origin, challenges: list[Challenge], scope: str, sent: str = "") -> str:
        """What to send after a 401 of a request with `sent`.

        Raises Unauthorized when there is nothing to send; Refused by the realm.
        """
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                self._last = challenge
                if self._credentials.registry_token:
                    return f"Bearer {self._credentials.registry_token}"
                # A login asks the realm: a kept token says nothing of today, and brings no identity token.
                kept = "" if self.offline else self._tokens.get(self._key(challenge, scope))
                if kept and sent != f"Bearer {kept}":
                    return f"Bearer {kept}"
                return f"Bearer {self._fetch(origin, challenge, scope)}"
            if challenge.scheme == "basic" and self._credentials.username:
                self._last = challenge
                return self._basic(self._credentials)
        raise Unauthorized("no basic auth credentials")

    def _key(self, challenge: Challenge, scope: str) -> _Key:
        """A token is its user's, also where the realm was asked as a stranger."""
        return _Key(challenge.parameters["realm"], challenge.parameters.get("service", ""), scope, self._credentials)

    @staticmethod
    def _basic(credentials: Credentials) -> str:
        pair = f"{credentials.username}:{credentials.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def _fetch(self, origin: Origin, challenge: Challenge, scope: str) -> str:
        realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
        there, _ = split_url(realm)
        if there.scheme == "http" and not is_insecure(self._config, there.host, f"{there.host}:{there.port}"):
            raise Misbehaves(f"{origin.netloc} names the realm {realm[:200]}, which is refused: it is not https")
        trusted = may_see(self._config, self._domain, origin, there)
        credentials = self._credentials if trusted else NOBODY
        asked = [("service", service)] if service else []
        asked += [("scope", one) for one in (scope or challenge.parameters.get("scope", "")).split(" ") if one]
        if credentials.identity_token:
            answer = self._ask(realm, "POST", self._refresh(service, asked))
        else:
            asked += [("account", credentials.username)] if credentials.username else []
            asked += [("client_id", CLIENT_ID), ("offline_token", "true")] if self.offline else []
            mark = "&" if "?" in realm else "?"
            basic = {"Authorization": self._basic(credentials)} if credentials.username else {}
            try:
                answer = self._ask(f"{realm}{mark}{urlencode(asked)}" if asked else realm, "GET", None, basic)
            except Unauthorized as error:
                if self._credentials and not trusted:
                    raise Unauthorized(
                        f"{error.message} ({there.netloc} was not shown the credentials for {self._domain}: "
                        'the setting "registry-realms" allows it)'
                    ) from None
                raise
        token = str(answer.get("token") or answer.get("access_token") or "")
        if not token or len(token) > MAX_TOKEN or not token.isascii() or any(ord(letter) <= 32 for letter in token):
            raise Misbehaves(f"authorization server {there.netloc} did not include a token in the response")
        self.identity_token = str(answer.get("refresh_token") or "")[:MAX_TOKEN] if self.offline else ""
        seconds = answer.get("expires_in")
        life = seconds if isinstance(seconds, int) and 0 < seconds < 1 << 31 else DEFAULT_LIFE
        self._tokens.put(self._key(challenge, scope), token, life)
        return token

    def _refresh(self, service: str, asked: list[tuple[str, str]]) -> bytes:
        """OAuth 2 with the token that a login left."""
        scopes = " ".join(value for name, value in asked if name == "scope")
        form = {"grant_type": "refresh_token", "service": service, "client_id": CLIENT_ID, "scope": scopes}
        return urlencode({**form, "refresh_token": self._credentials.identity_token}).encode()

    def _ask(self, url: str, method: str, body: bytes | None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._connections.send(method, url, sent, body)
        data = answer.read()
        shown = url.partition("?")[0]
        if answer.status == 401:
            words = refused(401, data, shown)
            raise Unauthorized(words.message)
        if answer.status != 200:
            raise refused(answer.status, data, shown)
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError):
            raw = None
        if not isinstance(raw, dict):
            raise Misbehaves(f"the answer of {shown} is not a JSON object")
        return raw
