"""Requests to one place: scheme, authorization, redirects, and trying again.

What changes nothing is tried again after a cut, 5xx, and 429 with a Retry-After: up to `attempts` times, with growing
pauses; with a mirror only once, without waiting for its Retry-After.
A redirect is followed for GET and HEAD only, at most MAX_REDIRECTS times, and never with credentials.
"""

import random
import ssl
import threading
from collections.abc import Mapping

from wharf.errors import Unauthorized, Unavailable, WharfError
from wharf.registry.client.challenge import Challenge, parse_challenges
from wharf.registry.client.errors import Misbehaves, Refused, StillUnauthorized, Unreachable, refused, unreachable
from wharf.registry.client.http import Answer, Body, Connections
from wharf.registry.client.tokens import Authorizer, Tokens
from wharf.registry.client.trust import Origin, host_of, is_insecure, join_url, split_url
from wharf.registry.client.values import NOBODY, ClientConfig, Credentials

MAX_REDIRECTS = 10
MIRROR_ATTEMPTS = 2
MAX_CHALLENGES = 2
"""A registry may ask for more than it asked at first (a wider scope), once."""
PROBE_SECONDS = 2.0
"""For TLS with an insecure host: a server that speaks none may wait for the rest of what it takes for a request."""
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429, 500, 502, 503, 504)
NO_HEADERS: Mapping[str, str] = {}


class Client:
    """What all places share: connections, tokens, and what was found out about hosts. Safe for many threads."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self.connections = Connections(config)
        self.tokens = Tokens()
        self._schemes: dict[str, str] = {}

    def close(self) -> None:
        """Close idle connections."""
        self.connections.close()

    def place(
        self, domain: str, credentials: Credentials = NOBODY, mirror: str = "", *, offline: bool = False
    ) -> "Place":
        """The registry of a domain, or a mirror of it by URL, which is never shown credentials.

        `offline`: ask for an identity token as well.
        """
        return Place(self, domain, NOBODY if mirror else credentials, mirror, offline=offline)

    def places(self, domain: str, credentials: Credentials = NOBODY) -> "list[Place]":
        """The mirrors of a domain, then its registry."""
        mirrors = [self.place(domain, mirror=url) for url in self.config.mirrors.get(domain, ())]
        return [*mirrors, self.place(domain, credentials)]

    def origin_of(self, host: str) -> Origin:
        """Where `host[:port]` answers: https; http where that is allowed and nobody speaks TLS. Raises Unreachable."""
        secure, _ = split_url(f"https://{host}/")
        if not is_insecure(self.config, secure.host, f"{secure.host}:{secure.port}"):
            return secure
        plain, _ = split_url(f"http://{host}/")
        known = self._schemes.get(host)
        if known:
            return secure if known == "https" else plain
        try:
            self.connections.dial(secure, PROBE_SECONDS)
            self._schemes[host] = "https"
            return secure
        except (ssl.SSLError, ConnectionResetError, EOFError, TimeoutError):
            self._schemes[host] = "http"
        except OSError as error:
            if secure.port == plain.port:
                raise unreachable("get", f"http://{host}/v2/", error) from None
        return plain

    def forget(self, host: str) -> None:
        """The host may have changed its mind about TLS."""
        self._schemes.pop(host, None)


class Place:
    """One host that answers for the names of a domain."""

    def __init__(
        self, client: Client, domain: str, credentials: Credentials, mirror: str, *, offline: bool = False
    ) -> None:
        self._client, self._mirror = client, mirror
        self.domain = domain
        self.host = host_of(domain)
        self.cancelled = threading.Event()
        """Ends pauses between attempts."""
        self._authorizer = Authorizer(client.connections, client.tokens, client.config, domain, credentials)
        self._authorizer.offline = offline
        self._base = ""

    def __str__(self) -> str:
        return self._mirror or self.host

    @property
    def base(self) -> str:
        """`https://host[:port]`, with a mirror's path; raises Unreachable."""
        if not self._base:
            if self._mirror:
                split_url(self._mirror)
                self._base = self._mirror.rstrip("/")
            else:
                self._base = str(self._client.origin_of(self.host))
        return self._base

    @property
    def identity_token(self) -> str:
        """What a realm gave to be remembered by, or ""."""
        return self._authorizer.identity_token

    def get(self, method: str, path: str, scope: str, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """GET or HEAD, tried again where that may help. Raises Refused, Unreachable, Unauthorized, Misbehaves."""
        attempts, _ = self._patience
        for attempt in range(1, attempts + 1):
            try:
                answer = self.send(method, path, scope, headers)
            except (Unreachable, Refused) as error:  # Refused: by the realm
                if attempt == attempts or not self.may_pass(error):
                    self._client.forget(self.host)
                    raise
                self.pause(attempt)
                continue
            if answer.status < 400:
                return answer
            refusal = self.refusal(answer)
            if attempt == attempts or not self.may_pass(refusal):
                raise refusal
            answer.finish()
            self.pause(attempt, refusal.wait)
        raise AssertionError("the last attempt returns or raises")

    def document(
        self, path: str, scope: str, limit: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> tuple[Answer, bytes]:
        """A GET and the whole body, asked for again when it is cut short.

        Raises as `get`; Misbehaves beyond `limit` bytes.
        """
        attempts, _ = self._patience
        for attempt in range(1, attempts + 1):
            answer = self.get("GET", path, scope, headers)
            try:
                return answer, answer.read(limit)
            except Unreachable:
                if attempt == attempts:
                    raise
                self.pause(attempt)
        raise AssertionError("the last attempt returns or raises")

    @property
    def _patience(self) -> tuple[int, float]:
        """Attempts, and the longest Retry-After that is waited for: there is another source beside a mirror."""
        config = self._client.config
        return (min(config.attempts, MIRROR_ATTEMPTS), 0) if self._mirror else (config.attempts, config.max_wait)

    def send(
        self, method: str, path: str, scope: str, headers: Mapping[str, str] = NO_HEADERS, body: Body = None
    ) -> Answer:
        """One request, again with credentials after a 401. `path` may be a whole URL that the registry gave.

        The answer's status is the caller's to judge. Raises Unreachable, Unauthorized, Misbehaves.
        """
        url = self.resolve(path)
        home = split_url(self.base)[0]
        ours = split_url(url)[0] == home
        authorization = self._authorizer.known(scope) if ours else ""
        for _ in range(MAX_CHALLENGES + 1):
            sent = {**headers, "Authorization": authorization} if authorization else headers
            answer = self._follow(method, url, sent, body)
            if answer.status != 401 or not ours or answer.origin != home:
                return answer
            challenges = parse_challenges(answer.headers("WWW-Authenticate"))
            refusal = refused(401, b"" if method == "HEAD" else answer.read(), url)
            answer.finish()
            try:
                fresh = self._authorizer.answer(home, challenges, scope, authorization)
            except Unauthorized as error:
                raise Unauthorized(f'{method.capitalize()} "{url}": {error.message}') from None
            if fresh == authorization:
                raise _still(challenges, refusal)
            if not (body is None or isinstance(body, bytes)):
                raise Unreachable(f'{method.capitalize()} "{url}": asked for credentials in the middle of an upload')
            authorization = fresh
        raise _still(challenges, refusal)

    def resolve(self, path: str) -> str:
        """A path below the registry, or what an answer named, as an URL. https is never left for http."""
        if path.startswith(("/v2/", "/v1/")):
            return f"{self.base}{path}"
        url = join_url(self.base + "/", path)
        here, there = split_url(self.base)[0], split_url(url)[0]
        if here.scheme == "https" and there.scheme == "http":
            if there.host != here.host:
                raise Misbehaves(f"{here.netloc} sends us from https to http://{there.netloc}, which is refused")
            return f"{here}{split_url(url)[1]}"  # a registry behind a TLS proxy that does not know of it
        return url

    def refusal(self, answer: Answer) -> Refused:
        """The error that an answer of 400 and above stands for; the answer is at its end then."""
        try:
            data = answer.read()
        except (Misbehaves, Unreachable):
            data = b""
        error = refused(answer.status, data, answer.url.partition("?")[0])
        error.wait = self._wait_asked(answer)
        return error

    def may_pass(self, error: Refused | Unreachable) -> bool:
        """Whether the same request may go well a little later."""
        if isinstance(error, Unreachable):
            return error.passing
        bearable = (error.wait or 0) <= self._patience[1]
        return error.status in _PASSING and bearable and (error.status != 429 or error.wait is not None)

    def pause(self, attempt: int, asked: float | None = None) -> None:
        """Before the next attempt; raises Unavailable when it was cancelled meanwhile."""
        usual = self._client.config.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        if self.cancelled.wait(usual if asked is None else asked):
            raise Unavailable("context canceled")

    @staticmethod
    def _wait_asked(answer: Answer) -> float | None:
        text = answer.header("Retry-After").strip()
        return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Answer:
        """A request and its redirects. Credentials stay behind with the first."""
        for _ in range(MAX_REDIRECTS):
            answer = self._client.connections.send(method, url, headers, body)
            target = answer.header("Location")
            if method not in ("GET", "HEAD") or answer.status not in _REDIRECTS or not target:
                return answer
            answer.finish()
            following = join_url(url, target)
            new = split_url(following)[0]
            if new.scheme == "http" and not is_insecure(self._client.config, new.host, f"{new.host}:{new.port}"):
                raise Misbehaves(f"{split_url(url)[0]} redirects to http://{new.netloc}, which is refused")
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = following
        raise Misbehaves(f"{url.partition('?')[0]}: stopped after {MAX_REDIRECTS} redirects")


def _still(challenges: list[Challenge], refusal: Refused) -> WharfError:
    """401 for what the registry itself asked for: the credentials are not right, or they are, but not for this."""
    if any(challenge.parameters.get("error") == "insufficient_scope" for challenge in challenges):
        return Refused(401, "DENIED", "requested access to the resource is denied")
    return StillUnauthorized(refusal.message)
