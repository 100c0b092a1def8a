"""The query and the headers of POST /build, and of Wharf's own /wharf/v1/build, as what the builder takes."""

import base64
import json
from typing import Any

from wharf.api.http import Request
from wharf.api.server import Api
from wharf.build.lock import parse_lock
from wharf.build.named_contexts import check_contexts
from wharf.build.options import LowerOptions
from wharf.build.outputs import parse_outputs
from wharf.build.request import BuildRequest, CachePlace
from wharf.errors import Denied, Internal, Invalid, NotImplementedYet
from wharf.spec.digest import Digest
from wharf.spec.entitlements import ENTITLEMENTS
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.transfer.store import parse_name
from wharf.wire.codec import parse
from wharf.wire.registry import parse_auths

MAX_PAIRS = 10_000
MAX_PLATFORMS = 16
MAX_PLACES = 32
MAX_TIMEOUT = 7 * 24 * 3600
DEFAULT_PIDS = 32768
"""Processes of one step, where the client does not say: a step that forks without end harms itself only."""


def build_request(api: Api, request: Request) -> BuildRequest:
    """Raises Invalid, NotImplementedYet."""
    version, isolation = request.text("version"), request.text("isolation")
    if version not in ("", "1", "2"):
        raise Invalid(f'invalid version "{version[:100]}"')
    if isolation.lower() not in ("", "default"):
        raise Invalid(f'unsupported isolation: "{isolation[:100]}"')
    if request.all("securityopt"):
        raise Invalid("security options are not supported on linux")
    if version == "2":
        raise NotImplementedYet("BuildKit's builder is not there yet: build with DOCKER_BUILDKIT=0 or 'wharf build'")
    if request.flag("squash"):
        raise NotImplementedYet("squash is not there")
    here = api.engine.images.platform
    platforms = tuple(Platform.parse(word) for word in request.text("platform").split(",") if word)
    if len(platforms) > MAX_PLATFORMS:
        raise Invalid(f"more than {MAX_PLATFORMS} platforms")
    build_args = _pairs(request, "buildargs", "build args")
    options = LowerOptions(
        build_args=build_args,
        labels=_pairs(request, "labels"),
        target=request.text("target"),
        platform=platforms[0] if platforms else here,
        build_platform=here,
        no_cache=_no_cache(request),
        network=request.text("networkmode") or "default",
        extra_hosts=tuple(word for text in request.all("extrahosts") for word in text.split(",") if word),
        shm_size=request.number("shmsize") or 0,
        ulimits=_ulimits(request.text("ulimits")),
        limits=_limits(request),
        allow=_allowed(request, api.engine.config.build_entitlements),
    )
    exports = _places(request.text("cacheto"), "cacheto")
    if build_args.get("BUILDKIT_INLINE_CACHE") == "1":
        exports = (*exports, CachePlace("inline"))
    return BuildRequest(
        options,
        request.text("dockerfile") or "Dockerfile",
        names=tuple(dict.fromkeys(parse_name(text) for text in request.all("t") if text)),
        secrets=_secrets(request.headers.get("x-wharf-secrets", "")),
        pull=request.flag("pull"),
        logins=parse_auths(request.headers.get("x-registry-config", "")),
        platforms=platforms,
        outputs=parse_outputs(request.text("outputs")),
        imports=_places(request.text("cachefrom"), "cache-from"),
        exports=exports,
        named=check_contexts(_pairs(request, "contexts")),
        verify=request.flag("verify"),
        locked=_locked(request.headers.get("x-wharf-lock", "")),
        timeout=_timeout(request),
    )


def _no_cache(request: Request) -> frozenset[str]:
    if request.flag("nocache"):
        return frozenset({"*"})
    return frozenset(word.lower() for word in request.text("nocachefilter").split(",") if word)


def _allowed(request: Request, granted: frozenset[str]) -> frozenset[str]:
    """What a build asks for beyond the usual; raises Denied where the engine's administrator has not granted it."""
    asked = frozenset(word for word in request.text("entitlements").split(",") if word)
    if unknown := sorted(asked.difference(ENTITLEMENTS)):
        raise Invalid(f"unknown entitlement key {unknown[0][:100]}")
    if refused := sorted(asked - granted):
        raise Denied(
            f"granting entitlement {refused[0]} is not allowed by build daemon configuration: "
            "see builder.entitlements of daemon.json"
        )
    return asked


def _timeout(request: Request) -> float:
    seconds = request.number("timeout") or 0
    if not 0 <= seconds <= MAX_TIMEOUT:
        raise Invalid(f"invalid timeout {seconds}: at most {MAX_TIMEOUT} seconds")
    return float(seconds)


def _places(text: str, name: str) -> tuple[CachePlace, ...]:
    """A JSON list of image names (the Engine API's `cachefrom`), or of `{"Type": …, "Attrs": {…}}`."""
    if not text:
        return ()
    raw = _json(text, name)
    if raw is None:
        return ()
    if not isinstance(raw, list) or len(raw) > MAX_PLACES:
        raise Invalid(f"error reading {name}: not a list of at most {MAX_PLACES}")
    return tuple(_place(item, name) for item in raw if item)


def _place(raw: Any, name: str) -> CachePlace:
    if isinstance(raw, str):
        return CachePlace("image", Reference.parse(raw).with_default_tag())
    attributes = raw.get("Attrs") or {} if isinstance(raw, dict) else None
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise Invalid(f"error reading {name}: a place is neither a name nor an object with Type and Attrs")
    kind = raw.get("Type")
    mode = attributes.get("mode", "min")
    if mode not in ("min", "max"):
        raise Invalid(f"invalid cache mode {mode[:50]!r}: min or max")
    reference, digest = None, None
    if kind == "registry":
        if not attributes.get("ref"):
            raise Invalid("a registry cache needs ref=<name>")
        reference = Reference.parse(attributes["ref"]).with_default_tag()
    elif kind == "content":
        digest = Digest.parse(attributes["digest"]) if attributes.get("digest") else None
    elif kind != "inline" or name != "cacheto":
        raise Invalid(f"unknown cache type {str(kind)[:100]!r}: registry, local{', inline' * (name == 'cacheto')}")
    flags = {key: attributes.get(key, default) == "true" for key, default in _FLAGS}
    return CachePlace(str(kind), reference, digest, mode == "max", flags["mounts"], flags["ignore-error"])


_FLAGS = (("mounts", "true"), ("ignore-error", "false"))


def _locked(text: str) -> dict[str, str] | None:
    """The lock file that a client sends, in base64."""
    if not text:
        return None
    try:
        return parse_lock(base64.b64decode(text, validate=True).decode())
    except ValueError as error:
        raise Invalid(f"error reading the lock file: {error}") from None


def _secrets(text: str) -> dict[str, bytes]:
    """What `wharf build --secret` sends: base64 of a JSON map of base64."""
    if not text:
        return {}
    try:
        raw = json.loads(base64.b64decode(text, validate=True))
        return {str(name): base64.b64decode(value, validate=True) for name, value in raw.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(f"error reading secrets: {error}") from None


def _json(text: str, name: str) -> Any:
    try:
        return parse(text.encode("utf-8", "surrogateescape"))
    except Invalid as error:
        raise Invalid(f"error reading {name}: {error.message.removeprefix('invalid JSON: ')}") from None


def _pairs(request: Request, key: str, name: str = "") -> dict[str, str]:
    """A JSON map of strings; a value of null is a name alone, which an argument's default stands for.

    `name`: what it is called in errors, where that is not the key.
    """
    text, name = request.text(key), name or key
    raw = _json(text, name) if text else None
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MAX_PAIRS:
        raise Invalid(f"error reading {name}: not a map of strings")
    if not all(isinstance(value, str | None) for value in raw.values()):
        raise Invalid(f"error reading {name}: not a map of strings")
    return {word: value for word, value in raw.items() if value is not None}


def _ulimits(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    raw = _json(text, "ulimit settings")
    try:
        return tuple(f"{item['Name']}={int(item['Soft'])}:{int(item['Hard'])}" for item in raw or ())
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"error reading ulimit settings: {error}") from None


def _limits(request: Request) -> tuple[tuple[str, int | str], ...]:
    numbers = {
        "memory": "memory",
        "memswap": "memory_swap",
        "cpushares": "cpu_shares",
        "cpuperiod": "cpu_period",
        "cpuquota": "cpu_quota",
    }
    found: list[tuple[str, int | str]] = [("pids_limit", request.number("pidslimit") or DEFAULT_PIDS)]
    for name, key in numbers.items():
        try:
            value = request.number(name)
        except Internal as error:  # Docker takes it for 0; who limits a build shall hear that there is no limit
            raise Invalid(f"{name}: {error.message}") from None
        if value:
            found.append((key, value))
    for name, key in (("cpusetcpus", "cpuset_cpus"), ("cpusetmems", "cpuset_mems"), ("cgroupparent", "cgroup_parent")):
        if request.text(name):
            found.append((key, request.text(name)))
    return tuple(found)
