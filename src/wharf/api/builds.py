"""Builds: POST /build, as `docker build` without BuildKit and the SDKs send it; Wharf's own form of it; the cache.

Loaded with the first build (routes/build.py): what builds need takes memory that many daemons never use.

/wharf/v1/build takes the same and more (`cacheto`, `contexts`, `nocachefilter`, `verify`, `timeout`, `pidslimit`,
several platforms, a lock), and tells more, a line each: `sources`, `differences`, `warning`, `output` (bytes of an
output to the client, in base64), and with `progress=raw` what happens to each vertex instead of the classic stream.
"""

import base64
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from wharf.api.build_request import build_request
from wharf.api.errors import message_of
from wharf.api.http import Answer, Hijack, Reply, Request
from wharf.api.relay import Source, relay
from wharf.api.requests import filters_of, json_reply
from wharf.api.server import Api
from wharf.api.streams import Outlet, progress_into
from wharf.build.builder import Builder
from wharf.build.cache_policy import Space
from wharf.build.classic import ClassicProgress
from wharf.build.contexts import read_dockerfile
from wharf.build.lock import SourceLock
from wharf.build.lower import Target
from wharf.build.named_contexts import opened
from wharf.build.ops.run import StepFailed
from wharf.build.portable.received import receive_cache
from wharf.build.rawprogress import RawProgress
from wharf.build.request import BuildRequest, Built
from wharf.build.solver.solver import Cancelled, Progress
from wharf.build.tree import Tree
from wharf.dockerfile.checks import Finding
from wharf.dockerfile.instructions import Dockerfile
from wharf.dockerfile.position import DockerfileError, Lines, UnreadableDockerfile, excerpt
from wharf.engine.times import format_time
from wharf.errors import Internal, Invalid, Unavailable, WharfError
from wharf.spec.build_record import CacheEntry
from wharf.wire.codec import parse

AGENT = "application/vnd.wharf.ssh-agent"
MAX_LIST = 256 << 20
"""Bytes of the list of a context's files."""
MAX_QUIET = 1 << 20
"""Characters of a quiet build's progress that wait for its end."""
MAX_PIECE = 1 << 20
"""Bytes of an output in one line."""


@dataclass(slots=True)
class _Call:
    """One request to build. `extended`: the client is our own, and understands more than Docker's stream."""

    builder: Builder
    body: Any
    wanted: BuildRequest
    remote: str
    context: str
    build_id: str
    quiet: bool
    raw: bool
    extended: bool
    check: bool = False
    """Only look for what the build checks find."""
    failed: list[Progress] = field(default_factory=list)


async def image_build(api: Api, request: Request, *, extended: bool = False) -> Answer:
    """POST /build, POST /wharf/v1/build"""
    builder = await _builder(api)
    wanted = build_request(api, request)
    wanted = replace(wanted, agents=builder.agents.of(request.text("agents"), request.text("agent")))
    call = _Call(
        builder,
        request.body.file(),
        wanted,
        request.text("remote"),
        request.text("context"),
        request.text("buildid"),
        request.flag("q"),
        request.text("progress") == "raw",
        extended,
        extended and request.flag("check"),
    )
    return await progress_into(api, lambda out: _build(call, out))


async def _builder(api: Api) -> Builder:
    made: Builder | None = api.builds.made
    if made is not None:
        return made
    builder: Builder = await api.run(api.builds.get)
    return builder


async def build_agent(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/agent: the connection becomes that of a client's SSH agent"""
    builder = await _builder(api)
    sock, taken_back = builder.agents.lend(request.text("session"), request.text("id"))
    return Hijack(relay(Source(sock, ended=lambda detached: taken_back())), AGENT, _both(sock.close, taken_back))


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        first()
        second()

    return run


async def build_cache(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/cache: an exported cache, for the builds of the next hour"""
    body = request.body.file()
    wanted = request.text("digest")
    digest = await api.run_stream(lambda: receive_cache(api.engine, body, wanted))
    return json_reply({"Digest": str(digest)}, 201)


async def build_context(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/context: what a client's directory holds; the answer says which files are to be sent"""
    raw = parse(await request.body.read(MAX_LIST))
    if not isinstance(raw, dict) or not isinstance(raw.get("Key"), str):
        raise Invalid("invalid context: an object with Key and Entries is needed")
    builder = await _builder(api)
    number, missing = await api.run(builder.kept.offer, raw["Key"], raw.get("Entries"))
    return json_reply({"Id": number, "Missing": missing}, 201)


async def build_context_files(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/context/files: the files of a context that a build will name (`contexts`)"""
    builder = await _builder(api)
    body, number = request.body.file(), request.text("id")
    await api.run_stream(lambda: builder.kept.receive_ahead(number, body))
    return Reply(204, b"")


async def build_cancel(api: Api, request: Request) -> Answer:
    """POST /build/cancel"""
    build_id = request.text("id")
    if not build_id:
        raise Invalid("build ID not provided")
    builder = await _builder(api)
    builder.cancel(build_id)
    return Reply(200, b"")


class _Gone(threading.Event):
    """Set once the client has closed the connection."""

    def __init__(self, out: Outlet) -> None:
        super().__init__()
        self._out = out

    def is_set(self) -> bool:
        return self._out.gone or super().is_set()


class _Quiet:
    """What a quiet build would have told: it is, when the build fails. The last of it, when it was a lot."""

    def __init__(self, emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._held: deque[dict[str, Any]] = deque()
        self._size = 0

    def hold(self, value: dict[str, Any]) -> None:
        """Instead of telling it."""
        self._held.append(value)
        self._size += len(str(value))
        while self._size > MAX_QUIET:
            self._size -= len(str(self._held.popleft()))

    def tell(self) -> None:
        """The build has failed."""
        while self._held:
            self._emit(self._held.popleft())


def _build(call: _Call, out: Outlet) -> None:
    """In a thread: read the context, build, tell what happens."""
    cancelled = _Gone(out)

    def emit(value: dict[str, Any]) -> None:
        try:
            out.emit(value)
        except Unavailable:
            cancelled.set()

    wanted = call.wanted
    quiet = _Quiet(emit)
    told = quiet.hold if call.quiet else emit
    wanted = replace(
        wanted,
        told=told,
        warned=lambda text: told({"warning": text} if call.extended else {"stream": f"[Warning] {text}\n"}),
        sent=lambda number, part, data: _send(out, number, part, data),
    )
    lock = SourceLock(wanted.locked)
    builder = call.builder
    with (
        _context(call, lock) as context,
        opened(builder.contexts, builder.kept, wanted, lock) as wanted,
        builder.cancellable(call.build_id, cancelled),
    ):
        text, file = _dockerfile(call, context, wanted)
        try:
            if call.check:
                findings = builder.check(context, file, wanted)
                emit({"findings": [_finding(finding, text) for finding in findings]})
                return
            built = builder.build(context, file, wanted, _watch(call, told), cancelled, lock)
        except StepFailed as error:
            quiet.tell()
            told_text = f"The command '{' '.join(error.argv)}' returned a non-zero code: {error.code}"
            told_text += _where(call, text)
            emit({"errorDetail": {"code": error.code, "message": told_text}, "error": told_text})
            return
        except Cancelled:
            if not out.gone:
                raise Cancelled("context canceled") from None
            return
        except (WharfError, OSError) as error:
            quiet.tell()
            if not call.extended:
                raise
            shown = message_of(error) + _where(call, text, error)
            emit({"errorDetail": {"message": shown}, "error": shown})
            return
    _tell(call, built, emit)


def _dockerfile(call: _Call, context: Tree, wanted: BuildRequest) -> tuple[str, Dockerfile]:
    """In Docker's words for its clients; ours shows the lines at fault beneath BuildKit's."""
    try:
        return read_dockerfile(context.directory, wanted)
    except UnreadableDockerfile as error:
        if call.extended:
            raise
        raise UnreadableDockerfile(f"failed to parse Dockerfile: {error.message}", error.lines) from None


@contextlib.contextmanager
def _context(call: _Call, lock: SourceLock) -> Iterator[Tree]:
    """The client's files."""
    builder = call.builder
    if call.context:
        pending = builder.kept.claim(call.context)
        try:
            directory, known = builder.kept.receive(pending, call.body)
            yield Tree(directory=directory, known=known)
        finally:
            builder.kept.release(pending)
        return
    if call.remote:
        with builder.contexts.remote(call.remote, lock, call.wanted) as found:
            yield found
        return
    with builder.small.unpacked(call.body) as found:
        yield found


def _watch(
    call: _Call, told: Callable[[dict[str, Any]], None]
) -> Callable[[Sequence[Target]], Callable[[Progress], None]]:
    def watch(targets: Sequence[Target]) -> Callable[[Progress], None]:
        listener = RawProgress(targets, told) if call.raw else ClassicProgress(targets, told)

        def hear(progress: Progress) -> None:
            if progress.kind == "error":
                call.failed.append(progress)
            listener(progress)

        return hear

    return watch


def _where(call: _Call, text: str, error: WharfError | OSError | None = None) -> str:
    """The lines of the Dockerfile at fault, for our own client."""
    if not call.extended:
        return ""
    lines = error.lines if isinstance(error, DockerfileError) else None
    if lines is None and call.failed and call.failed[0].vertex.lines:
        lines = Lines(*call.failed[0].vertex.lines)
    if lines is None:
        return ""
    return f"\n{call.wanted.dockerfile.rpartition('/')[2]}:{lines.first}\n{excerpt(text, lines)}"


def _finding(finding: Finding, text: str) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "message": finding.message,
        "line": finding.lines.first,
        "excerpt": excerpt(text, finding.lines),
    }


def _send(out: Outlet, number: int, part: str, data: bytes) -> None:
    """Bytes of an output; raises Unavailable when the client is gone."""
    for at in range(0, len(data), MAX_PIECE):
        piece = base64.b64encode(data[at : at + MAX_PIECE]).decode()
        out.emit({"output": number, "part": part, "data": piece})


def _tell(call: _Call, built: Built, emit: Callable[[dict[str, Any]], None]) -> None:
    """What a build that went well ends with."""
    emit({"aux": {"ID": str(built.image.id)}})
    if call.extended:
        emit({"sources": dict(built.sources)})
        if built.differences is not None:
            emit({"differences": list(built.differences)})
    if call.quiet:
        emit({"stream": f"{built.image.id}\n"})
        return
    if built.target.unused_args:
        names = " ".join(built.target.unused_args)
        emit({"stream": f"[Warning] One or more build-args [{names}] were not consumed\n"})
    for finding in built.target.checks.findings:
        emit({"stream": f"[Warning] {finding.rule}: {finding.message} (line {finding.lines.first})\n"})
    emit({"stream": f"Successfully built {built.image.id.hex[:12]}\n"})
    stored = any(output.stores for output in call.wanted.outputs)
    for name in call.wanted.names if stored else ():
        emit({"stream": f"Successfully tagged {name.familiar()}\n"})


async def build_prune(api: Api, request: Request) -> Answer:
    """POST /build/prune"""
    filters = filters_of(request)
    kept, reserved, most, free = (
        _bytes(request, name) for name in ("keep-storage", "reserved-space", "max-used-space", "min-free-space")
    )
    space = Space(reserved or kept, most, free)
    everything = request.flag("all")
    found, freed = await api.run(lambda: api.builds.get().prune(filters, space, everything=everything))
    return json_reply({"CachesDeleted": found or None, "SpaceReclaimed": freed})


def _bytes(request: Request, name: str) -> int:
    try:
        return request.number(name) or 0
    except Internal as error:
        text = request.text(name)[:100]
        raise Invalid(f"{name} is in bytes and expects an integer, got {text}: {error.message}") from None


def cache_entries(builder: Builder, version: tuple[int, int]) -> list[dict[str, Any]]:
    """The build cache as GET /system/df lists it."""
    return [_entry(entry, version) for entry in builder.entries()]


def _entry(entry: CacheEntry, version: tuple[int, int]) -> dict[str, Any]:
    record = entry.record
    found: dict[str, Any] = {
        "ID": record.id,
        "Type": record.kind,
        "Description": record.description,
        "InUse": entry.in_use,
        "Shared": entry.shared,
        "Size": record.size,
        "CreatedAt": format_time(record.created_at),
        "LastUsedAt": format_time(record.used_at) if record.used_at else None,
        "UsageCount": record.uses,
    }
    if version < (1, 42):
        found["Parent"] = record.parents[0] if record.parents else ""
    else:
        found["Parents"] = list(record.parents) or None
    return {key: value for key, value in found.items() if value is not None or key == "LastUsedAt"}
