"""Builds: POST /build, as `docker build` without BuildKit and the SDKs send it; the build cache.

Loaded with the first build (routes/build.py): what builds need takes memory that many daemons never use.
"""

import base64
import json
import threading
from dataclasses import replace
from typing import Any

from wharf.api.http import Answer, Request
from wharf.api.requests import filters_of, json_reply
from wharf.api.server import Api
from wharf.api.streams import Outlet, progress_into
from wharf.build.builder import Builder, BuildRequest
from wharf.build.classic import ClassicProgress
from wharf.build.lower import Target
from wharf.build.ops.run import StepFailed
from wharf.build.options import LowerOptions
from wharf.build.solver.solver import Cancelled
from wharf.engine.filters import until
from wharf.errors import Invalid, NotImplementedYet, Unavailable
from wharf.spec.platform import Platform
from wharf.transfer.store import parse_name
from wharf.wire.registry import parse_auths

MAX_PAIRS = 10_000


async def image_build(api: Api, request: Request) -> Answer:
    """POST /build"""
    wanted = build_request(api, request)
    quiet = request.flag("q")
    body = request.body.file()
    return await progress_into(api, lambda out: _build(api.builds.get(), body, wanted, out, quiet=quiet))


class _Gone(threading.Event):
    """Set once the client has closed the connection."""

    def __init__(self, out: Outlet) -> None:
        super().__init__()
        self._out = out

    def is_set(self) -> bool:
        return self._out.gone or super().is_set()


def _build(builder: Builder, body: Any, wanted: BuildRequest, out: Outlet, *, quiet: bool) -> None:
    """In a thread: read the context, build, tell what happens."""
    cancelled = _Gone(out)

    def emit(value: dict[str, Any]) -> None:
        try:
            out.emit(value)
        except Unavailable:
            cancelled.set()

    def watch(target: Target) -> ClassicProgress:
        return ClassicProgress(target, (lambda value: None) if quiet else emit)

    wanted = replace(wanted, told=(lambda value: None) if quiet else emit)
    with builder.context(body) as directory:
        file = builder.read(directory, wanted)
        try:
            built = builder.build(directory, file, wanted, watch, cancelled)
        except StepFailed as error:
            text = f"The command '{' '.join(error.argv)}' returned a non-zero code: {error.code}"
            emit({"errorDetail": {"code": error.code, "message": text}, "error": text})
            return
        except Cancelled:
            if not out.gone:
                raise
            return
    emit({"aux": {"ID": str(built.image.id)}})
    if quiet:
        emit({"stream": f"{built.image.id}\n"})
        return
    if built.target.unused_args:
        names = " ".join(built.target.unused_args)
        emit({"stream": f"[Warning] One or more build-args [{names}] were not consumed\n"})
    for finding in built.target.checks.findings:
        emit({"stream": f"[Warning] {finding.rule}: {finding.message} (line {finding.lines.first})\n"})
    emit({"stream": f"Successfully built {built.image.id.hex[:12]}\n"})
    for name in wanted.names:
        emit({"stream": f"Successfully tagged {name.familiar()}\n"})


def build_request(api: Api, request: Request) -> BuildRequest:
    """The query as what the builder takes. Raises Invalid, NotImplementedYet."""
    if request.text("version") == "2":
        raise NotImplementedYet("BuildKit's builder is not there yet: build with DOCKER_BUILDKIT=0 or 'wharf build'")
    if request.flag("squash"):
        raise NotImplementedYet("squash is not there")
    if request.text("remote"):
        raise NotImplementedYet("build contexts by URL are not there yet: send the files themselves")
    here = api.engine.images.platform
    platform = request.text("platform")
    options = LowerOptions(
        build_args=_pairs(request, "buildargs"),
        labels=_pairs(request, "labels"),
        target=request.text("target"),
        platform=Platform.parse(platform) if platform else here,
        build_platform=here,
        no_cache=frozenset({"*"}) if request.flag("nocache") else frozenset(),
        network=request.text("networkmode") or "default",
        extra_hosts=tuple(word for word in request.text("extrahosts").split(",") if word),
        shm_size=request.number("shmsize") or 0,
        ulimits=_ulimits(request.text("ulimits")),
        limits=_limits(request),
    )
    names = tuple(dict.fromkeys(parse_name(text) for text in request.all("t") if text))
    secrets = _secrets(request.headers.get("x-wharf-secrets", ""))
    return BuildRequest(
        options,
        request.text("dockerfile") or "Dockerfile",
        names=names,
        secrets=secrets,
        pull=request.flag("pull"),
        logins=parse_auths(request.headers.get("x-registry-config", "")),
    )


def _secrets(text: str) -> dict[str, bytes]:
    """What `wharf build --secret` sends: base64 of a JSON map of base64."""
    if not text:
        return {}
    try:
        raw = json.loads(base64.b64decode(text, validate=True))
        return {str(name): base64.b64decode(value, validate=True) for name, value in raw.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise Invalid(f"error reading secrets: {error}") from None


def _pairs(request: Request, name: str) -> dict[str, str]:
    """A JSON map of strings; a value of null is a name alone, which an argument's default stands for."""
    text = request.text(name)
    if not text:
        return {}
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"error reading {name}: {error}") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MAX_PAIRS:
        raise Invalid(f"error reading {name}: not a map of strings")
    if not all(isinstance(value, str | None) for value in raw.values()):
        raise Invalid(f"error reading {name}: not a map of strings")
    return {key: value for key, value in raw.items() if value is not None}


def _ulimits(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    try:
        raw = json.loads(text)
        return tuple(f"{item['Name']}={int(item['Soft'])}:{int(item['Hard'])}" for item in raw or ())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(f"error reading ulimit settings: {error}") from None


def _limits(request: Request) -> tuple[tuple[str, int | str], ...]:
    numbers = {
        "memory": "memory",
        "memswap": "memory_swap",
        "cpushares": "cpu_shares",
        "cpuperiod": "cpu_period",
        "cpuquota": "cpu_quota",
    }
    found: list[tuple[str, int | str]] = []
    for name, key in numbers.items():
        value = request.number(name)
        if value:
            found.append((key, value))
    for name, key in (("cpusetcpus", "cpuset_cpus"), ("cpusetmems", "cpuset_mems"), ("cgroupparent", "cgroup_parent")):
        if request.text(name):
            found.append((key, request.text(name)))
    return tuple(found)


async def build_prune(api: Api, request: Request) -> Answer:
    """POST /build/prune"""
    filters = filters_of(request)
    for name in filters.keys() - {"until"}:
        raise NotImplementedYet(f"build prune by {name} is not there yet")
    limit = int((until(filters) or 0) * 10**9)
    found, freed = await api.run(lambda: api.builds.get().prune(everything=request.flag("all"), until=limit))
    return json_reply({"CachesDeleted": found or None, "SpaceReclaimed": freed})
