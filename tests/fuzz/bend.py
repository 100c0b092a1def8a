"""Bends a request that is right by the description: hostile values, ids of things that are there."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.fuzz.sending import Wanted

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**64, 1e308, 0.5),
    *("", " ", "\0", "/", "..", "../../etc/passwd", "a" * 300, "a" * 70000, "\ud800", "é\u202e", "%00", "{}", "[]"),
    *("null", "true", "0x10", "1e9", "-1", "*", "busybox", "busybox:latest", "sha256:" + "0" * 64, "container:x"),
    *("host", "none", "bridge", "0", "root", "/proc/self/exe", "unix:///x", "1.2.3.4:99999", "::1", "fe80::1%lo"),
    *([], [None], [[]], {}, {"": None}, {"a": {"b": {}}}, [0] * 1000),
)
UNRESTRICTED = ("Privileged", "PidMode", "Binds", "Devices", "CgroupParent", "CgroupnsMode", "VolumesFrom")
"""Keys of a container that may reach the host: they are bent only to values that lead nowhere."""


def bend(wanted: Wanted, chance: random.Random, ids: dict[str, Sequence[str]]) -> Wanted:
    """Another request, or the same."""
    parameters = dict(wanted.parameters)
    for name in parameters:
        known = ids.get(_kind(wanted.path), ())
        if known and chance.random() < 0.7:
            parameters[name] = chance.choice(known)
        elif chance.random() < 0.2:
            parameters[name] = str(chance.choice(HOSTILE)) or "x"
    query = dict(wanted.query)
    for name in list(query):
        if chance.random() < 0.3:
            query[name] = chance.choice(HOSTILE)
        if "filters" in name and chance.random() < 0.5:
            query[name] = {chance.choice(["status", "label", "name", "until", "id"]): chance.choice(HOSTILE)}
    body = wanted.body
    if wanted.path == "/containers/create" and isinstance(body, dict) and chance.random() < 0.8:
        body = {**body, "Image": "busybox", "Cmd": ["true"]}
    if chance.random() < 0.5:
        body = _bent(body, chance)
    return replace(wanted, parameters=parameters, query=query, body=_safe(body))


def _kind(path: str) -> str:
    return path.strip("/").partition("/")[0]


def _bent(value: Any, chance: random.Random) -> Any:
    """One place of a JSON value exchanged."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return {**value, key: _bent(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        position = chance.randrange(len(value))
        return [*value[:position], _bent(value[position], chance), *value[position + 1 :]]
    if isinstance(value, bytes):
        return value[: chance.randrange(len(value) + 1)]
    return chance.choice(HOSTILE)


def _safe(body: Any) -> Any:
    if isinstance(body, dict) and isinstance(body.get("HostConfig"), dict):
        host = {key: value for key, value in body["HostConfig"].items() if key not in UNRESTRICTED}
        return {**body, "HostConfig": host}
    return body
