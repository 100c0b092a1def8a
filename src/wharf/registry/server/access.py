"""Authentication: nobody asked (`OpenAccess`), passwords with each request (`BasicAccess`), tokens (`TokenAccess`)."""

import base64
import binascii
import json
import time
from urllib.parse import parse_qs

from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import Request, Response
from wharf.registry.server.passwords import Passwords
from wharf.registry.server.rights import Rights, permitted
from wharf.registry.server.routes import valid_name
from wharf.registry.server.tokens import TOKEN_SECONDS, Granted, Tokens

MAX_SCOPES = 100
MAX_FORM = 64 << 10
REALM = "Wharf Registry"
NOBODY = ("", "invalid")
"""What a header that cannot be read stands for: no user has an empty name."""


class OpenAccess:
    """Everybody may do everything."""

    def identify(self, request: Request) -> None:
        """Credentials are not looked at."""

    def allows(self, request: Request, repository: str, action: str) -> bool:
        """Always."""
        return True

    def sees(self, request: Request, repository: str) -> bool:
        """Everything."""
        return True

    def refusal(self, request: Request, repository: str, actions: str) -> RegistryError:
        """Never needed, but complete."""
        return RegistryError("DENIED")

    def token(self, request: Request) -> Response:
        """There are no tokens here."""
        raise RegistryError("UNSUPPORTED", "this registry gives no tokens", status=404)


class BasicAccess:
    """User and password in every request (RFC 7617)."""

    def __init__(self, passwords: Passwords, rights: Rights) -> None:
        self._passwords = passwords
        self._rights = rights

    def identify(self, request: Request) -> None:
        """Set the user; raises RegistryError for a wrong password."""
        given = _basic(request)
        if given is None:
            return
        if not self._passwords.check(*given, request.client):
            raise self._challenge("invalid username or password")
        request.user = given[0]

    def allows(self, request: Request, repository: str, action: str) -> bool:
        """`/v2/` itself is for users, so that a client's login finds out whether its password is right."""
        if not repository:
            return bool(request.user)
        return action in self._rights.actions(request.user, repository)

    def sees(self, request: Request, repository: str) -> bool:
        """What the user may pull."""
        return self.allows(request, repository, "pull")

    def refusal(self, request: Request, repository: str, actions: str) -> RegistryError:
        """401 for strangers, 403 for users."""
        return RegistryError("DENIED", detail={"name": repository}) if request.user else self._challenge("")

    def token(self, request: Request) -> Response:
        """There are no tokens here."""
        raise RegistryError("UNSUPPORTED", "this registry gives no tokens", status=404)

    def _challenge(self, message: str) -> RegistryError:
        return RegistryError("UNAUTHORIZED", message, headers={"WWW-Authenticate": f'Basic realm="{REALM}"'})


class TokenAccess:
    """Bearer tokens (RFC 6750) from an end point of our own, by the protocol that Docker's clients speak."""

    def __init__(self, passwords: Passwords, rights: Rights, tokens: Tokens, service: str) -> None:
        self._passwords = passwords
        self._rights = rights
        self._tokens = tokens
        self._service = service

    def identify(self, request: Request) -> None:
        """Check the token; raises RegistryError for one that is wrong or too old."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return
        found = self._tokens.check(token.strip())
        if found is None:
            raise self._challenge(request, "", "", "invalid_token")
        request.user = found[0]

    def allows(self, request: Request, repository: str, action: str) -> bool:
        """What the token says, and the rights still say."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = self._tokens.check(token.strip()) if scheme.lower() == "bearer" else None
        if not repository:
            return found is not None
        if found is None or action not in found[1].get(repository, ()):
            return False
        return action in self._rights.actions(request.user, repository)

    def sees(self, request: Request, repository: str) -> bool:
        """What the user may pull, whatever the token at hand is for."""
        return "pull" in self._rights.actions(request.user, repository)

    def refusal(self, request: Request, repository: str, actions: str) -> RegistryError:
        """401 with the scope that is needed: a client with a token for less gets another one."""
        wanted = {"pull": "pull", "push": "pull,push", "delete": "delete"}.get(actions, "")
        token = request.headers.get("authorization", "").lower().startswith("bearer ")
        return self._challenge(request, repository, wanted, "insufficient_scope" if token else "")

    def token(self, request: Request) -> Response:
        """GET with a password, or POST (OAuth2) with a password or a refresh token."""
        form = request.query
        if request.method == "POST":
            data = request.body.read(MAX_FORM).decode("utf-8", "replace")
            form = parse_qs(data, keep_blank_values=True, max_num_fields=100)
            user = self._user_of_form(request, form)
        else:
            given = _basic(request)
            if given is not None and not self._passwords.check(*given, request.client):
                raise self._wrong()
            user = given[0] if given else ""
        request.user = user
        scopes = [scope for text in form.get("scope", []) for scope in text.split()]
        if len(scopes) > MAX_SCOPES:
            raise RegistryError("REQUEST_INVALID", f"more than {MAX_SCOPES} scopes")
        token, made = self._tokens.issue(user, self._grant(user, scopes))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made))
        answer = {"token": token, "access_token": token, "expires_in": TOKEN_SECONDS, "issued_at": stamp}
        offline = "true" in form.get("offline_token", []) or "offline" in form.get("access_type", [])
        if user and offline:
            answer["refresh_token"] = self._tokens.issue_refresh(user, self._passwords.hash_of(user))
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Response(200, json.dumps(answer).encode(), headers)

    def _user_of_form(self, request: Request, form: dict[str, list[str]]) -> str:
        kind = form.get("grant_type", [""])[0]
        if kind == "password":
            user = form.get("username", [""])[0]
            if self._passwords.check(user, form.get("password", [""])[0], request.client):
                return user
        elif kind == "refresh_token":
            found = self._tokens.check_refresh(form.get("refresh_token", [""])[0])
            if found and (hashed := self._passwords.hash_of(found[0])) and Tokens.mark_of(hashed) == found[1]:
                return found[0]
        else:
            raise RegistryError("UNSUPPORTED", "grant_type must be password or refresh_token", status=400)
        raise self._wrong()

    def _grant(self, user: str, scopes: list[str]) -> Granted:
        granted: dict[str, set[str]] = {}
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind == "repository" and valid_name(name):
                allowed = permitted(actions.split(","), self._rights.actions(user, name))
                granted.setdefault(name, set()).update(allowed)
        return {name: frozenset(actions) for name, actions in granted.items()}

    def _wrong(self) -> RegistryError:
        headers = {"WWW-Authenticate": f'Basic realm="{REALM}"'}
        return RegistryError("UNAUTHORIZED", "invalid username or password", headers=headers)

    def _challenge(self, request: Request, repository: str, actions: str, error: str) -> RegistryError:
        host = request.headers.get("host", "localhost").replace('"', "").replace("\\", "")
        parts = [f'realm="{request.scheme}://{host}/token"', f'service="{self._service}"']
        if repository:
            parts.append(f'scope="repository:{repository}:{actions}"')
        if error:
            parts.append(f'error="{error}"')
        return RegistryError("UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer " + ",".join(parts)})


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return NOBODY
    if colon and not user and not password:
        return None  # clients without credentials answer a challenge so (containers/image)
    return (user, password) if colon else NOBODY
