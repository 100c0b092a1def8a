"""Contexts in docker's own store: what `docker context` wrote is read, what is written here docker reads.

<config>/config.json                               "currentContext"
<config>/contexts/meta/<sha256 of name>/meta.json  {"Name", "Metadata", "Endpoints": {"docker": {"Host", …}}}
<config>/contexts/tls/<sha256 of name>/docker/     ca.pem, cert.pem, key.pem
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile

from wharf.client.address import config_directory, default_socket, parse
from wharf.errors import Conflict, Invalid, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "default"
MAX_META = 1 << 20
PEM = (("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem"))
_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Store:
    """The store in docker's configuration directory ("": $DOCKER_CONFIG or ~/.docker)."""

    def __init__(self, directory: str = "") -> None:
        self.directory = config_directory(directory)

    def current(self, chosen: str = "") -> str:
        """The context in use: --context, then DOCKER_HOST (which is the default's), DOCKER_CONTEXT, config.json."""
        if chosen or os.environ.get("DOCKER_HOST"):
            return chosen or DEFAULT
        return os.environ.get("DOCKER_CONTEXT") or self._config().get("currentContext") or DEFAULT

    def use(self, name: str) -> None:
        """Make it the current one; raises NotFound."""
        if name != DEFAULT:
            self.get(name)
        config = self._config()
        config["currentContext"] = "" if name == DEFAULT else name
        if name == DEFAULT:
            del config["currentContext"]
        _write(os.path.join(self.directory, "config.json"), json.dumps(config, indent="\t"))

    def names(self) -> list[str]:
        """Every name but the default's, in order."""
        found = []
        meta = os.path.join(self.directory, "contexts", "meta")
        for key in os.listdir(meta) if os.path.isdir(meta) else ():
            try:
                found.append(str(_read(os.path.join(meta, key, "meta.json"))["Name"]))
            except (NotFound, KeyError):
                continue
        return sorted(found)

    def get(self, name: str) -> dict[str, Any]:
        """The metadata as it is stored; the default's is what the environment says. Raises NotFound."""
        if name == DEFAULT:
            host = os.environ.get("DOCKER_HOST") or f"unix://{default_socket()}"
            return {"Name": DEFAULT, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        try:
            return _read(self.meta(name))
        except NotFound:
            why = f"open {self.meta(name)}: no such file or directory"
            raise NotFound(f'context "{name}": context not found: {why}') from None

    def put(self, name: str, description: str, docker: dict[str, str] | None, create: bool) -> None:
        """Make or change a context. `docker`: host, skip-tls-verify, ca, cert, key; None leaves the end point alone.

        Raises Invalid, Conflict, NotFound.
        """
        check_name(name)
        if create and os.path.exists(self.meta(name)):
            raise Conflict(f'context "{name}" already exists')
        empty: dict[str, Any] = {"Name": name, "Metadata": {}, "Endpoints": {}}
        meta = empty if create else self.get(name)
        if description:
            meta["Metadata"]["Description"] = description
        if docker is not None:
            parse(docker.get("host", ""))
            skip = docker.get("skip-tls-verify", "").lower() in ("1", "t", "true")
            meta["Endpoints"]["docker"] = {"Host": docker["host"], "SkipTLSVerify": skip}
            self._put_tls(name, docker)
        _write(self.meta(name), json.dumps(meta))

    def restore(self, name: str, meta: dict[str, Any], files: dict[str, bytes]) -> None:
        """A context that was exported, under a name of one's choice. Raises Invalid, Conflict."""
        check_name(name)
        if os.path.exists(self.meta(name)):
            raise Conflict(f'context "{name}" already exists')
        parse(str(meta.get("Endpoints", {}).get("docker", {}).get("Host", "")))
        for file, data in files.items():
            _write(os.path.join(self.tls(name), file), data.decode("latin-1"), "latin-1")
        _write(self.meta(name), json.dumps({**meta, "Name": name}))

    def remove(self, name: str, force: bool) -> None:
        """Forget a context; raises Conflict for the one in use, without `force`, and Invalid for the default."""
        if name == DEFAULT:
            raise Invalid('context "default" cannot be removed')
        if self.current() == name:
            if not force:
                raise Conflict(f'context "{name}" is in use, set -f flag to force remove')
            self.use(DEFAULT)
        self.get(name)
        shutil.rmtree(os.path.dirname(self.meta(name)))
        shutil.rmtree(os.path.dirname(self.tls(name)), ignore_errors=True)

    def tls(self, name: str) -> str:
        """The directory of its TLS files, which may not exist."""
        return os.path.join(self.directory, "contexts", "tls", _key(name), "docker")

    def tls_files(self, name: str) -> dict[str, bytes]:
        """The TLS files that there are."""
        found = {}
        for _, file in PEM:
            path = os.path.join(self.tls(name), file)
            if os.path.exists(path):
                with open(path, "rb") as opened:
                    found[file] = opened.read(MAX_META)
        return found

    def _put_tls(self, name: str, docker: dict[str, str]) -> None:
        shutil.rmtree(self.tls(name), ignore_errors=True)
        for option, file in PEM:
            if docker.get(option):
                try:
                    with open(docker[option], "rb") as opened:
                        data = opened.read(MAX_META)
                except OSError as error:
                    raise Invalid(
                        f"unable to create docker endpoint config: {docker[option]}: {error.strerror}"
                    ) from None
                _write(os.path.join(self.tls(name), file), data.decode("latin-1"), "latin-1")

    def meta(self, name: str) -> str:
        """The file of its metadata."""
        return os.path.join(self.directory, "contexts", "meta", _key(name), "meta.json")

    def _config(self) -> dict[str, Any]:
        try:
            return _read(os.path.join(self.directory, "config.json"))
        except NotFound:
            return {}


def check_name(name: str) -> None:
    """Raises Invalid for what docker refuses."""
    if name == DEFAULT:
        raise Invalid('"default" is a reserved context name')
    good = name and name[0] in _FIRST and all(letter in _FIRST + "_.+-" for letter in name) and len(name) > 1
    if not good:
        raise Invalid(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(MAX_META))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise Invalid(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise Invalid(f"{path}: it is no JSON object")
    return found


def _write(path: str, text: str, encoding: str = "utf-8") -> None:
    """By way of a file beside it, which only the owner reads."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd, staged = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(fd, "w", encoding=encoding, newline="") as file:
        file.write(text)
    os.rename(staged, path)
