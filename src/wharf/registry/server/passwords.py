"""Passwords: bcrypt hashes of the registry's own users and of a htpasswd file, with a brake on guessing.

bcrypt is slow on purpose, so a password that was right is remembered for a while, as a keyed hash. An unknown user
costs as much time as a wrong password.
"""

import hashlib
import hmac
import logging
import os
import secrets
import threading
import time
from collections import OrderedDict
from typing import Protocol

import bcrypt

from wharf.errors import Invalid
from wharf.registry.server.errors import RegistryError

COST = 10
REMEMBER_SECONDS = 300.0
MAX_REMEMBERED = 10_000
MAX_FAILURES = 10
"""Wrong passwords from one address within FAILURE_SECONDS; then it is told to wait."""
FAILURE_SECONDS = 60.0
MAX_ADDRESSES = 10_000
MAX_HTPASSWD = 4 << 20
MAX_PASSWORD = 72
"""bcrypt reads no more bytes."""
_BCRYPT = ("$2y$", "$2a$", "$2b$")

log = logging.getLogger("wharf.registry")


class Hashes(Protocol):
    """Where hashes are kept."""

    def hash_of(self, user: str) -> str: ...


def hash_password(password: str) -> str:
    """A bcrypt hash; raises Invalid for what bcrypt would cut."""
    data = password.encode()
    if not data or len(data) > MAX_PASSWORD or b"\0" in data:
        raise Invalid(f"a password has 1 to {MAX_PASSWORD} bytes")
    return bcrypt.hashpw(data, bcrypt.gensalt(COST)).decode("ascii")


class Htpasswd:
    """The bcrypt entries of a htpasswd file, read again when it changes."""

    def __init__(self, path: str) -> None:
        """Raises Invalid when the file cannot be read."""
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._entries: dict[str, str] = {}
        self.hash_of("")

    def hash_of(self, user: str) -> str:
        """The user's hash, "" when there is none."""
        with self._lock:
            try:
                status = os.stat(self._path)
                if self._stamp != (status.st_mtime_ns, status.st_size):
                    self._entries = self._read()
                    self._stamp = (status.st_mtime_ns, status.st_size)
            except OSError as error:
                if self._stamp is None:
                    raise Invalid(f"cannot read {self._path}: {error.strerror}") from None
                log.error("cannot read %s, the entries read before stay: %s", self._path, error.strerror)
            return self._entries.get(user, "")

    def _read(self) -> dict[str, str]:
        with open(self._path, encoding="utf-8", errors="replace") as file:
            lines = file.read(MAX_HTPASSWD).splitlines()
        entries = {}
        for number, line in enumerate(lines, 1):
            user, colon, hashed = line.strip().partition(":")
            if not user or user.startswith("#"):
                continue
            if not colon or not hashed.startswith(_BCRYPT):
                log.warning("%s:%d: no bcrypt entry (htpasswd -B makes one), left out", self._path, number)
                continue
            entries[user] = hashed
        return entries


class Passwords:
    """Says whether a password is right."""

    def __init__(self, *sources: Hashes) -> None:
        self._sources = sources
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: OrderedDict[bytes, float] = OrderedDict()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._nobody = bcrypt.hashpw(secrets.token_bytes(16).hex().encode(), bcrypt.gensalt(COST)).decode()

    def check(self, user: str, password: str, client: str) -> bool:
        """Whether it is right; raises RegistryError (TOOMANYREQUESTS) after too many wrong ones from an address."""
        hashed = self.hash_of(user)
        key = self._remembered(user, password, hashed)
        now = time.monotonic()
        with self._lock:
            if hashed and now < self._right.get(key, 0.0):
                return True
            self._brake(client, now)
        right = _matches(password, hashed or self._nobody) and bool(hashed)
        with self._lock:
            if right:
                self._right[key] = now + REMEMBER_SECONDS
                while len(self._right) > MAX_REMEMBERED:
                    self._right.popitem(last=False)
            else:
                self._failures.setdefault(client, []).append(now)
                while len(self._failures) > MAX_ADDRESSES:
                    self._failures.popitem(last=False)
        return right

    def hash_of(self, user: str) -> str:
        """The user's hash from the first source that knows one, "" for an unknown user."""
        return next((found for source in self._sources if (found := source.hash_of(user))), "")

    def _remembered(self, user: str, password: str, hashed: str) -> bytes:
        """The hash is part of the key: a new password makes the old one wrong at once."""
        parts = b"".join(hashlib.sha256(text.encode()).digest() for text in (user, password, hashed))
        return hmac.digest(self._key, parts, "sha256")

    def _brake(self, client: str, now: float) -> None:
        recent = [at for at in self._failures.pop(client, ()) if now - at < FAILURE_SECONDS]
        if recent:
            self._failures[client] = recent
        if len(recent) >= MAX_FAILURES:
            wait = str(int(FAILURE_SECONDS - (now - recent[0])) + 1)
            raise RegistryError("TOOMANYREQUESTS", "too many wrong passwords", headers={"Retry-After": wait})


def _matches(password: str, hashed: str) -> bool:
    data = password.encode()
    if not data or len(data) > MAX_PASSWORD or b"\0" in data:
        return False
    try:
        return bcrypt.checkpw(data, hashed.encode())
    except ValueError:
        return False
