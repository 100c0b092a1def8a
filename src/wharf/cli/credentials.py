"""Docker's config.json: users' credentials for registries, in the file or with a credential helper.

`auths` maps a server to `{"auth": base64 of user:password}`; `credHelpers` a server to a helper, `credsStore` names
the one for all others: programs `docker-credential-NAME` that speak JSON on their standard streams.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import tempfile

from wharf.client.address import config_directory
from wharf.errors import Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUB = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"
"""The user's name with which a helper keeps an identity token."""
HELPER_SECONDS = 60
MAX_FILE = 4 << 20
_NAMES_OF_HUB = ("", "docker.io", "index.docker.io", "registry-1.docker.io")


def server_key(server: str) -> str:
    """The key of a server in the file: Docker Hub by its old address, others by host."""
    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return HUB if host in _NAMES_OF_HUB else host


def server_of(image: str) -> str:
    """The server that an image name belongs to."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return server_key(first if is_host else "")


class Credentials:
    """The file in `directory` ("": $DOCKER_CONFIG or ~/.docker); missing is as good as empty."""

    def __init__(self, directory: str = "") -> None:
        directory = config_directory(directory)
        self.path = os.path.join(directory, "config.json")
        self._raw = _read(self.path)

    def get(self, server: str) -> dict[str, str]:
        """Docker's AuthConfig for a server; {} for nobody's. Raises Invalid when a helper fails."""
        key = server_key(server)
        helper = self._helper(key)
        if helper:
            return self._from_helper(helper, key)
        auths = self._map("auths")
        found = auths.get(key)
        if found is None:
            found = next((value for name, value in auths.items() if server_key(name) == key), None)
        if not isinstance(found, dict):
            return {}
        out = {name: str(found[name]) for name in ("username", "password", "identitytoken") if found.get(name)}
        if found.get("auth"):
            try:
                text = base64.b64decode(str(found["auth"])).decode()
            except ValueError:
                raise Invalid(f"{self.path}: the credentials of {key} are damaged") from None
            out["username"], _, out["password"] = text.rstrip("\0").partition(":")
        return {**out, "serveraddress": key} if out else {}

    def put(self, server: str, auth: dict[str, str]) -> bool:
        """Keep credentials; whether they lie in the file now, for everybody to read who reads it."""
        key = server_key(server)
        helper = self._helper(key)
        entry: dict[str, str] = {}
        if helper:
            token = auth.get("identitytoken", "")
            name, secret = (TOKEN_USER, token) if token else (auth.get("username", ""), auth.get("password", ""))
            _call(helper, "store", json.dumps({"ServerURL": key, "Username": name, "Secret": secret}))
        elif auth.get("identitytoken"):
            pair = f"{auth.get('username', '')}:".encode()
            entry = {"auth": base64.b64encode(pair).decode(), "identitytoken": auth["identitytoken"]}
        else:
            pair = f"{auth.get('username', '')}:{auth.get('password', '')}".encode()
            entry = {"auth": base64.b64encode(pair).decode()}
        self._raw["auths"] = {**self._map("auths"), key: entry}
        self._write()
        return not helper

    def remove(self, server: str) -> None:
        """Forget a server's credentials; raises Invalid when a helper fails."""
        key = server_key(server)
        helper = self._helper(key)
        if helper:
            with contextlib.suppress(NotFound):
                _call(helper, "erase", key)
        auths = self._map("auths")
        kept = {name: value for name, value in auths.items() if server_key(name) != key}
        if kept != auths:
            self._raw["auths"] = kept
            self._write()

    def header(self, image: str) -> dict[str, str]:
        """X-Registry-Auth for requests about an image."""
        return {"X-Registry-Auth": encoded(self.get(server_of(image)))}

    def headers_of_all(self) -> dict[str, str]:
        """X-Registry-Config for builds: every server that is known, by its key; none where nothing is."""
        found = {server: self.get(server) for server in sorted(self._servers())}
        known = {server: auth for server, auth in found.items() if auth}
        return {"X-Registry-Config": encoded(known)} if known else {}

    def alone(self) -> str:
        """A config.json with every server's credentials and nothing else, helpers asked; "" where there are none."""
        found = {server: self.get(server) for server in sorted(self._servers())}
        auths: dict[str, dict[str, str]] = {}
        for server, auth in found.items():
            if auth:
                pair = f"{auth.get('username', '')}:{auth.get('password', '')}".encode()
                token = {"identitytoken": auth["identitytoken"]} if auth.get("identitytoken") else {}
                auths[server] = {"auth": base64.b64encode(pair).decode(), **token}
        return json.dumps({"auths": auths}) if auths else ""

    def _servers(self) -> set[str]:
        return {server_key(name) for name in (*self._map("auths"), *self._map("credHelpers"))}

    def _helper(self, key: str) -> str:
        helpers = self._map("credHelpers")
        named = helpers.get(key) or self._raw.get("credsStore") or ""
        if not isinstance(named, str) or "/" in named:
            raise Invalid(f"{self.path}: {str(named)[:100]!r} is no credential helper")
        return named

    @staticmethod
    def _from_helper(helper: str, key: str) -> dict[str, str]:
        try:
            text = _call(helper, "get", key)
        except NotFound:
            return {}
        try:
            raw = json.loads(text)
            name, secret = str(raw["Username"]), str(raw["Secret"])
        except (ValueError, KeyError, TypeError):
            raise Invalid(f"docker-credential-{helper}: the answer is not what a helper says") from None
        if name == TOKEN_USER:
            return {"identitytoken": secret, "serveraddress": key}
        return {"username": name, "password": secret, "serveraddress": key}

    def _map(self, name: str) -> dict[str, Any]:
        value = self._raw.get(name)
        return value if isinstance(value, dict) else {}

    def _write(self) -> None:
        """Through a new file beside it, for its owner alone; a link stays one."""
        path = os.path.realpath(self.path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd, staged = tempfile.mkstemp(prefix="config.json", dir=os.path.dirname(path))
        try:
            with open(fd, "w") as file:
                json.dump(self._raw, file, indent="\t")
            if os.path.exists(path):
                os.chmod(staged, os.stat(path).st_mode & 0o777)
            os.rename(staged, path)
        except BaseException:
            os.unlink(staged)
            raise


def encoded(auth: dict[str, Any]) -> str:
    """An AuthConfig, or a map of them, as the header carries it."""
    return base64.urlsafe_b64encode(json.dumps(auth, separators=(",", ":")).encode()).decode()


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(MAX_FILE) or b"{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot read {path}: {error}") from None
    if not isinstance(raw, dict):
        raise Invalid(f"cannot read {path}: not a JSON object")
    return raw


def _call(helper: str, verb: str, text: str) -> str:
    """One call of a helper. Raises NotFound when it has no credentials, Invalid for every other failure."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Invalid(f"cannot use the credential helper {program}: {error}") from None
    if done.returncode:
        words = (done.stdout or done.stderr).strip()[:500]
        if "credentials not found" in words:
            raise NotFound(words)
        raise Invalid(f"{program} {verb}: {words or f'status {done.returncode}'}")
    return done.stdout
