"""`wharf build`: sends a directory and its Dockerfile, shows what happens."""

from __future__ import annotations

import os
import sys

from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

_FLAGS = (
    ("add-host", "", "list", "Add a custom host-to-IP mapping (format: \"host:ip\")"),
    ("build-arg", "", "list", "Set build-time variables"),
    ("cgroup-parent", "", "string", "Set the parent cgroup for the \"RUN\" instructions during build"),
    ("check", "", "bool", "Check the Dockerfile and build nothing"),
    ("cpu-period", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    ("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    ("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    ("file", "f", "string", "Name of the Dockerfile (default: \"PATH/Dockerfile\")"),
    ("iidfile", "", "string", "Write the image ID to a file"),
    ("label", "", "list", "Set metadata for an image"),
    ("memory", "m", "bytes", "Memory limit"),
    ("network", "", "string", "Set the networking mode for the \"RUN\" instructions during build"),
    ("no-cache", "", "bool", "Do not use cache when building the image"),
    ("platform", "", "string", "Set target platform for build"),
    ("quiet", "q", "bool", "Suppress the build output and print image ID on success"),
    ("secret", "", "list", "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret|,env=VAR]\")"),
    ("shm-size", "", "bytes", "Shared memory size for build containers"),
    ("tag", "t", "list", "Image identifier (format: \"[registry/]repository[:tag]\")"),
    ("target", "", "string", "Set the target build stage to build"),
)  # fmt: skip
BUILD = Command(
    "build",
    "[OPTIONS] PATH | -",
    "Build an image from a Dockerfile",
    _FLAGS,
    operands=(1, 1),
    example="wharf build -t mine:1 .",
    aliases="wharf image build, wharf build",
)
CHUNK = 1 << 18
_ARCHIVES = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_OTHER_FILE = ".dockerfile."
MAX_SECRET = 500 << 10


def build(session: Session, args: list[str]) -> int:
    """Builds an image; prints its progress, or its id."""
    flags, (path,) = BUILD.parse(args)
    if flags.get("check"):
        return _check(session, flags, path)
    name, chunks = _context(flags, path)
    parameters = {
        "dockerfile": name,
        "target": flags.get("target"),
        "nocache": flags.get("no-cache"),
        "networkmode": flags.get("network"),
        "platform": flags.get("platform"),
        "buildargs": _build_args(flags.get("build-arg", [])),
        "labels": dict(text.partition("=")[::2] for text in flags.get("label", [])),
        "extrahosts": ",".join(flags.get("add-host", [])),
        "shmsize": flags.get("shm-size"),
        "memory": flags.get("memory"),
        "cpushares": flags.get("cpu-shares"),
        "cpuperiod": flags.get("cpu-period"),
        "cpuquota": flags.get("cpu-quota"),
        "cpusetcpus": flags.get("cpuset-cpus"),
        "cgroupparent": flags.get("cgroup-parent"),
    }
    names = "".join(f"&t={quote(tag)}" for tag in flags.get("tag", []))
    headers = {"X-Wharf-Secrets": _secrets(flags["secret"])} if flags.get("secret") else None
    target = "/build" + (query(parameters) or "?") + names
    response = session.client().upload("POST", target, chunks, headers=headers)
    return _show(session, response, flags)


def _show(session: Session, response: Any, flags: dict[str, Any]) -> int:
    """The stream's lines; the id into its file. A failing step's own code is the exit code."""
    image = ""
    for item in session.client().lines(response):
        detail = item.get("errorDetail") or {}
        if detail or "error" in item:
            raise ExitWith(detail.get("message") or item.get("error", ""), int(detail.get("code") or 1))
        image = (item.get("aux") or {}).get("ID", image)
        if item.get("stream") and not flags.get("quiet"):
            session.write(item["stream"])
            sys.stdout.flush()
    if flags.get("quiet"):
        session.line(image)
    if flags.get("iidfile"):
        with open(flags["iidfile"], "w") as file:
            file.write(image)
    return 0


def _check(session: Session, flags: dict[str, Any], path: str) -> int:
    """The build checks that need no engine."""
    from wharf.dockerfile.checks import Checks, check_text, parse_options
    from wharf.dockerfile.parse import parse_dockerfile
    from wharf.dockerfile.position import DockerfileError, excerpt

    text = _read_text(flags.get("file") or os.path.join(path, "Dockerfile"))
    try:
        file = parse_dockerfile(text)
    except DockerfileError as error:
        shown = "\n" + excerpt(text, error.lines) if error.lines else ""
        raise ExitWith(error.message + shown) from None
    checks = Checks(parse_options(file.check))
    check_text(file, checks)
    for finding in checks.findings:
        session.line(f"WARNING: {finding.rule}\n{finding.message}\n{excerpt(text, finding.lines)}\n")
    session.line(f"Check complete, {len(checks.findings)} warnings have been found!" if checks.findings
                 else "Check complete, no warnings found.")  # fmt: skip
    return 1 if checks.findings else 0


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise ExitWith(f"failed to read dockerfile: open {path}: {str(error.strerror).lower()}") from None


def _build_args(given: list[str]) -> dict[str, str]:
    """`NAME=value`, or `NAME` for the value that it has here."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _secrets(given: list[str]) -> str:
    """The secrets as base64 of a JSON map of base64: a header of the request."""
    import base64

    from wharf.client import jsontext

    found = {}
    for text in given:
        fields = dict(word.partition("=")[::2] for word in text.split(","))
        name = fields.get("id", "")
        if not name:
            raise ExitWith(f"wharf: a secret needs an id: {text}")
        variable, source = fields.get("env", ""), fields.get("src", fields.get("source", ""))
        if not variable and not source:
            variable, source = (name, "") if name in os.environ else ("", name)
        try:
            value = os.environb[os.fsencode(variable)] if variable else _read_bytes(source)
        except KeyError:
            raise ExitWith(f"wharf: secret {name}: no variable {variable}") from None
        if len(value) > MAX_SECRET:
            raise ExitWith(f"invalid secret size {len(value)}, a secret can be at most {MAX_SECRET} bytes")
        found[name] = base64.b64encode(value).decode()
    return base64.b64encode(jsontext.dumps(found).encode()).decode()


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_SECRET + 1)
    except OSError as error:
        raise ExitWith(f"wharf: cannot read the secret {path}: {error.strerror}") from None


# -- the context


def _context(flags: dict[str, Any], path: str) -> tuple[str, Iterable[bytes]]:
    """The Dockerfile's name in the archive, and the archive."""
    if path == "-":
        return _from_stdin(flags, sys.stdin.buffer)
    if not os.path.isdir(path):
        raise ExitWith(f"unable to prepare context: path {path!r} not found")
    file = flags.get("file") or os.path.join(path, "Dockerfile")
    extra = None
    if file == "-":
        extra = sys.stdin.buffer.read()
    else:
        inside = os.path.relpath(os.path.realpath(file), os.path.realpath(path))
        if not inside.startswith("../"):
            if not os.path.exists(file) and not flags.get("file"):
                inside = "dockerfile" if os.path.exists(os.path.join(path, "dockerfile")) else inside
            _show_error_here(os.path.join(path, inside))
            return inside, _pack(path, inside, None)
        extra = _read_bytes_of(file)
    name = _OTHER_FILE + os.urandom(8).hex()
    return name, _pack(path, name, extra)


def _read_bytes_of(path: str) -> bytes:
    return _read_text(path).encode("utf-8", "surrogateescape")


def _show_error_here(path: str) -> None:
    """A Dockerfile that cannot be read is refused before anything is sent, with its lines."""
    from wharf.dockerfile.parse import parse_dockerfile
    from wharf.dockerfile.position import DockerfileError, excerpt

    text = _read_text(path)
    try:
        if text:
            parse_dockerfile(text)
    except DockerfileError as error:
        shown = f"\n{os.path.basename(path)}:{error.lines.first}\n{excerpt(text, error.lines)}" if error.lines else ""
        raise ExitWith(error.message + shown) from None


def _from_stdin(flags: dict[str, Any], file: BinaryIO) -> tuple[str, Iterable[bytes]]:
    """An archive is the context; anything else is a Dockerfile without one."""
    head = file.read(512)
    is_archive = head.startswith(_ARCHIVES) or (len(head) == 512 and head[257:262] == b"ustar")
    if is_archive:
        return flags.get("file") or "Dockerfile", _rest(head, file)
    return "Dockerfile", _tar([("Dockerfile", None, head + file.read())])


def _rest(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while data := file.read(CHUNK):
        yield data


def _pack(root: str, dockerfile: str, extra: bytes | None) -> Iterator[bytes]:
    from wharf.dockerfile.ignore import IgnoreRules, read_ignore

    patterns: tuple[str, ...] = ()
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        place = os.path.join(root, name)
        if os.path.isfile(place):
            patterns = read_ignore(_read_text(place))
            break
    rules = IgnoreRules(patterns)
    always = {dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"}
    found: list[tuple[str, str | None, bytes]] = [(name, os.path.join(root, name), b"") for name in
                                                  _walk(root, rules, always)]  # fmt: skip
    if extra is not None:
        found.append((dockerfile, None, extra))
    return _tar(found)


def _walk(root: str, rules: Any, always: set[str]) -> Iterator[str]:
    """Names of what is sent, a directory before what is in it."""
    stack = [""]
    while stack:
        directory = stack.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            name = f"{directory}/{entry.name}".lstrip("/")
            out = name not in always and rules.ignored(name)
            inner = not out or not rules.prunes(name) or any(kept.startswith(name + "/") for kept in always)
            if inner and entry.is_dir(follow_symlinks=False):
                stack.append(name)
            if not out:
                yield name


def _tar(items: Iterable[tuple[str, str | None, bytes]]) -> Iterator[bytes]:
    """An archive, a piece at a time: owners are nobody's, since they mean nothing elsewhere."""
    import io
    import tarfile

    archive = tarfile.open(fileobj=io.BytesIO(), mode="w")  # noqa: SIM115 (asked for headers only)
    for name, path, data in items:
        if path is None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
        else:
            member = archive.gettarinfo(path, name)
            if member is None:
                continue  # a socket
            member.uid = member.gid = 0
            member.uname = member.gname = ""
        yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if path is None:
            yield data
        elif member.isreg() and member.size:
            yield from _file(path, member.size)
        if member.isreg():
            yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: str, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, whatever happens to the file meanwhile."""
    with open(path, "rb") as file:
        while size:
            data = file.read(min(CHUNK, size)) or bytes(min(CHUNK, size))
            size -= len(data)
            yield data
