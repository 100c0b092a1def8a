"""Docker Hub as tests see it: three hosts with certificates of the test's own authority, behind a proxy that knows
where they are. docker.io, its realm and its blob store are spoken to by their own names, as in earnest.

    registry-1.docker.io                    manifests; blobs are redirects; tokens for each repository; a rate limit
    auth.docker.io                          tokens: for strangers, for users, for refresh tokens
    production.cloudflare.docker.com        blobs by signed URL; refuses who shows credentials
    index.docker.io                         the old search
"""

import base64
import contextlib
import json
import re
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.authority import Authority
from tests.support.fake_registry import INDEX, MANIFEST, PASS, Call, FakeRegistry, accept, digest_of
from tests.support.proxy import Proxy

REGISTRY, REALM = "registry-1.docker.io", "auth.docker.io"
STORE, SEARCH = "production.cloudflare.docker.com", "index.docker.io"
STATEMENT = "application/vnd.in-toto+json"
SERVICE = "registry.docker.io"
PROXY_PORT = 3128
"""Of the proxy in a network namespace of a process: nobody else is there."""
LIMIT_WORDS = "You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"


class FakeHub:
    """`users` maps names to passwords; a repository `NAME/…` of a user is private. `left`: pulls before the limit.

    The proxy listens on loopback, in the network namespace of the process `network_of` where that is given.
    """

    def __init__(self, place: Path, network_of: int = 0) -> None:
        self.users: dict[str, str] = {}
        self.left = 100
        self.found: list[dict[str, Any]] = []
        """What a search gives."""
        authority = Authority(place)
        tls = authority.server(REGISTRY, REALM, STORE, SEARCH)
        self.registry, self.realm, self.store = (FakeRegistry(tls=tls) for _ in range(3))
        hosts = {REGISTRY: self.registry, REALM: self.realm, STORE: self.store, SEARCH: self.realm}
        where = {f"{name}:443": server.host for name, server in hosts.items()}
        self.proxy = Proxy(where, port=PROXY_PORT if network_of else 0, network_of=network_of)
        authority.trusted_for(place / "certs.d", *hosts)
        self.registry.on("", "^/v2/", self._guard)
        self.registry.on("GET", "^/v2/.+/manifests/", self._count)
        self.registry.on("GET", "^/v2/.+/blobs/sha256:", self._redirect)
        accept(self.registry)
        self.realm.on("GET", "^/token", self._token)
        self.realm.on("POST", "^/token", self._refresh)
        self.realm.on("GET", "^/v1/search", self._search)
        self.store.on("", "", self._blob)
        self._stack = contextlib.ExitStack()

    def add(self, name: str, tag: str, layers: list[bytes]) -> bytes:
        """An index of two platforms with an attestation of each, as buildx pushes it."""
        registry = self.registry
        entries: list[dict[str, Any]] = []
        for architecture in ("amd64", "arm64"):
            image = registry.image(name, layers, architecture=architecture)
            entries.append(_entry(image, {"architecture": architecture, "os": "linux"}))
        for image in list(entries):
            statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": image["digest"]}).encode()
            blob = {"mediaType": STATEMENT, "digest": registry.blob(statement), "size": len(statement)}
            config = registry.blob(b"{}")
            document = json.dumps(
                {
                    "schemaVersion": 2, "mediaType": MANIFEST, "layers": [blob],
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
                }
            ).encode()  # fmt: skip
            registry.put(name, digest_of(document), MANIFEST, document)
            notes = {
                "vnd.docker.reference.digest": image["digest"],
                "vnd.docker.reference.type": "attestation-manifest",
            }
            entries.append({**_entry(document, {"architecture": "unknown", "os": "unknown"}), "annotations": notes})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        registry.put(name, tag, INDEX, index)
        return index

    @staticmethod
    def token(user: str, scopes: list[str]) -> str:
        """What a token says, readable for the registry."""
        return base64.urlsafe_b64encode(json.dumps([user, scopes]).encode()).decode().rstrip("=")

    def _guard(self, call: Call) -> Any:
        path = re.match(r"^/v2/(.+)/(?:manifests|blobs|tags)/", call.path)
        name = path[1] if path else ""
        sent = call.headers.get("Authorization", "").removeprefix("Bearer ")
        action = "pull" if call.command in ("GET", "HEAD") else "push"
        parameters = f'Bearer realm="https://{REALM}/token",service="{SERVICE}"'
        if name:
            parameters += f',scope="repository:{name}:{"pull" if action == "pull" else "pull,push"}"'
        if sent:
            _, scopes = json.loads(base64.urlsafe_b64decode(sent + "=" * (-len(sent) % 4)))
            allowed = [
                scope.rpartition(":")[2].split(",") for scope in scopes if scope.startswith(f"repository:{name}:")
            ]
            if not name or any(action in actions for actions in allowed):
                return PASS
            parameters += ',error="insufficient_scope"'
        return call.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=parameters)

    def _count(self, call: Call) -> Any:
        limits = {"Ratelimit_Limit": "100;w=21600", "Ratelimit_Remaining": f"{self.left};w=21600",
                  "Docker_Ratelimit_Source": "192.0.2.1"}  # fmt: skip
        if self.left == 0:
            return call.refuse(429, "TOOMANYREQUESTS", LIMIT_WORDS, **limits)
        self.left -= 1
        return PASS

    def _redirect(self, call: Call) -> Any:
        digest = call.path.rpartition("/")[2]
        if digest not in self.registry.blobs:
            return PASS
        where = f"/registry-v2/docker/registry/v2/blobs/{digest}/data?expires=1&signature=abc"
        return call.answer(307, Location=f"https://{STORE}{where}")

    def _blob(self, call: Call) -> None:
        found = re.fullmatch(r"/registry-v2/.+/(sha256:[0-9a-f]+)/data\?expires=1&signature=abc", call.path)
        if not found or "Authorization" in call.headers:
            call.answer(400, b"<Error><Code>InvalidArgument</Code></Error>")
            return
        data = self.registry.blobs[found[1]]
        start = int(call.headers.get("Range", "bytes=0-")[6:-1])
        more = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        call.answer(206 if start else 200, data[start:], **more)

    def _granted(self, user: str, asked: list[str]) -> list[str]:
        granted = []
        for scope in asked:
            _, name, actions = scope.split(":")
            owner = name.partition("/")[0]
            own, public = owner == user, owner not in self.users
            kept = [action for action in actions.split(",") if own or (public and action == "pull")]
            if kept and (own or (name in {known for known, _ in self.registry.manifests})):
                granted.append(f"repository:{name}:{','.join(kept)}")
        return granted

    def _token(self, call: Call) -> None:
        query = parse_qs(urlsplit(call.path).query)
        user = ""
        if basic := call.headers.get("Authorization", ""):
            user, _, password = base64.b64decode(basic.removeprefix("Basic ")).decode().partition(":")
            if self.users.get(user) != password:
                call.answer(401, b'{"details":"incorrect username or password"}')
                return
        assert query["service"] == [SERVICE]
        answer: dict[str, Any] = {"token": self.token(user, self._granted(user, query.get("scope", [])))}
        if "offline_token" in query:
            answer["refresh_token"] = f"refresh-{user}"
        call.answer(200, json.dumps({**answer, "expires_in": 300}).encode(), Content_Type="application/json")

    def _refresh(self, call: Call) -> None:
        form = parse_qs(call.rfile.read(int(call.headers["Content-Length"])).decode())
        user = form["refresh_token"][0].removeprefix("refresh-")
        if user not in self.users:
            call.answer(401, b'{"details":"token is invalid"}')
            return
        token = self.token(user, self._granted(user, form.get("scope", [""])[0].split()))
        call.answer(200, json.dumps({"access_token": token, "expires_in": 300}).encode())

    def _search(self, call: Call) -> None:
        query = parse_qs(urlsplit(call.path).query)
        found = [row for row in self.found if query["q"][0] in row["name"]][: int(query["n"][0])]
        call.answer(200, json.dumps({"num_results": len(found), "results": found}).encode())

    def __enter__(self) -> "FakeHub":
        for server in (self.registry, self.realm, self.store, self.proxy):
            self._stack.enter_context(server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _entry(data: bytes, platform: dict[str, str]) -> dict[str, Any]:
    return {"mediaType": MANIFEST, "digest": digest_of(data), "size": len(data), "platform": platform}
