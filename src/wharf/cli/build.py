"""`wharf build`: sends a directory and its Dockerfile, shows what happens, puts the results where they are wanted."""

from __future__ import annotations

import os
import re
import sys

from wharf.cli.build_context import context, named, read_text
from wharf.cli.flags import Command
from wharf.cli.proxies import proxy_variables
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.cli.build_outputs import Receiver

_FLAGS = (
    ("add-host", "", "list", "Add a custom host-to-IP mapping (format: \"host:ip\")"),
    ("allow", "", "list", "Allow extra privileged entitlement (\"network.host\", \"security.insecure\")"),
    ("build-arg", "", "list", "Set build-time variables"),
    ("build-context", "", "list", "Additional build contexts (e.g., \"name=path\")"),
    ("cache-from", "", "list", "External cache sources (e.g., \"user/app:cache\", \"type=local,src=path/to/dir\")"),
    ("cache-to", "", "list", "Cache export destinations (e.g., \"user/app:cache\", \"type=local,dest=path/to/dir\")"),
    ("cgroup-parent", "", "string", "Set the parent cgroup for the \"RUN\" instructions during build"),
    ("check", "", "bool", "Check the Dockerfile and build nothing"),
    ("cpu-period", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", "", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    ("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    ("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    ("file", "f", "string", "Name of the Dockerfile (default: \"PATH/Dockerfile\")"),
    ("iidfile", "", "string", "Write the image ID to a file"),
    ("label", "", "list", "Set metadata for an image"),
    ("load", "", "bool", "Shorthand for \"--output=type=docker\""),
    ("lock", "", "bool", "Write what every source is to \"<Dockerfile>.lock\""),
    ("locked", "", "bool", "Take only the sources that \"<Dockerfile>.lock\" names"),
    ("memory", "m", "bytes", "Memory limit"),
    ("network", "", "string", "Set the networking mode for the \"RUN\" instructions during build"),
    ("no-cache", "", "bool", "Do not use cache when building the image"),
    ("no-cache-filter", "", "list:stage", "Do not cache specified stages"),
    ("output", "o", "list", "Output destination (format: \"type=local,dest=path\")"),
    ("pids-limit", "", "int", "Processes that one step may have"),
    ("platform", "", "list", "Set target platform for build; several give an index"),
    ("progress", "", "string", "Kind of progress: auto, plain, tty, rawjson, quiet"),
    ("pull", "", "bool", "Always attempt to pull all referenced images"),
    ("push", "", "bool", "Shorthand for \"--output=type=image,push=true\""),
    ("quiet", "q", "bool", "Suppress the build output and print image ID on success"),
    ("secret", "", "list", "Secret to expose to the build (format: \"id=mysecret[,src=/local/secret|,env=VAR]\")"),
    ("shm-size", "", "bytes", "Shared memory size for build containers"),
    ("ssh", "", "list", "SSH agent socket or keys to expose to the build "
                        "(format: \"default|<id>[=<socket>|<key>[,<key>]]\")"),
    ("tag", "t", "list", "Image identifier (format: \"[registry/]repository[:tag]\")"),
    ("target", "", "string", "Set the target build stage to build"),
    ("timeout", "", "duration", "End the build when it takes longer"),
    ("ulimit", "", "list", "Ulimit options"),
    ("verify", "", "bool", "Build twice and say how the two differ"),
)  # fmt: skip
BUILD = Command(
    "build",
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
    _FLAGS,
    operands=(1, 1),
    example="wharf build -t mine:1 .",
    aliases="wharf image build, wharf build",
)
RULES_AT = "https://docs.docker.com/go/dockerfile/rule/"
_RULE = re.compile(r"((?<=[a-z])[A-Z]|[A-Z](?=[a-z]))")
_FRAME = "-" * 20
MAX_SECRET = 500 << 10
MAX_LOCK = 120 << 10
_OWN = ("allow", "output", "push", "cache-to", "lock", "locked", "no-cache-filter", "verify", "timeout", "pids-limit",
        "ssh", "build-context")  # fmt: skip
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


def build(session: Session, args: list[str]) -> int:
    """Builds an image; prints its progress, or its id."""
    flags, (path,) = BUILD.parse(args)
    own = _is_wharf(session, flags)
    if flags.get("check") and not own:
        return _check(session, flags, path)
    remote = path if path.startswith(_REMOTE) else ""
    name, known, chunks = (flags.get("file", ""), "", iter(())) if remote else context(flags, path, _ask(session, own))
    from wharf.cli.build_outputs import Receiver, cache_places, outputs
    from wharf.cli.build_view import KINDS

    imports, exports, directory = cache_places(session, flags)
    wanted = outputs(flags)
    receiver = Receiver(wanted, directory)
    kind = "quiet" if flags.get("quiet") else flags.get("progress", "auto")
    if kind not in KINDS:
        raise ExitWith(f"invalid progress mode {kind}")
    if kind == "auto":
        kind = "tty" if own and sys.stderr.isatty() and sys.stdout.isatty() else "plain"
    parameters = {
        **_parameters(flags, session),
        "dockerfile": name,
        "context": known,
        "remote": remote,
        "contexts": named(session, flags["build-context"]) if flags.get("build-context") else None,
        "cachefrom": imports or None,
        "cacheto": exports or None,
        "outputs": wanted or None,
        "progress": "raw" if kind in ("tty", "rawjson") else "",
        "check": flags.get("check"),
    }
    names = "".join(f"&t={quote(tag)}" for tag in flags.get("tag", []))
    target = ("/wharf/v1/build" if own else "/build") + (query(parameters) or "?") + names
    headers = _headers(session, flags, _lock_path(flags, path))
    from wharf.cli.build_agents import forwarded

    with forwarded(session, flags.get("ssh", [])) as agents:
        response = session.client().upload("POST", target + agents, chunks, headers=headers)
        if flags.get("check"):
            return _show_check(session, response, os.path.join("" if remote else path, name))
        return _show(session, response, flags, (kind, receiver, _lock_path(flags, path)))


def _ask(session: Session, own: bool) -> Any:
    """How our own engine is asked which files of a directory it has."""
    from wharf.cli.build_delta import missing_only

    return (lambda root, names: missing_only(session, root, names)) if own else None


def _is_wharf(session: Session, flags: dict[str, Any]) -> bool:
    """Whether the engine is ours; raises ExitWith where it is not, and a flag needs it."""
    from wharf.client.http import ApiError

    try:
        session.client().get("/wharf/v1/_ping")
        return True
    except ApiError as error:
        if error.status != 404:
            raise
    needed = next((flag for flag in _OWN if flags.get(flag)), "")
    if needed:
        session.client().require_wharf(f"build --{needed}")
    return False


def _parameters(flags: dict[str, Any], session: Session) -> dict[str, Any]:
    """The query, as far as flags alone give it."""
    timeout = flags.get("timeout")
    build_args = _build_args(flags.get("build-arg", []))
    return {
        "target": flags.get("target"),
        "nocache": flags.get("no-cache"),
        "nocachefilter": ",".join(flags.get("no-cache-filter", [])),
        "networkmode": flags.get("network"),
        "platform": ",".join(flags.get("platform", [])),
        "buildargs": proxy_variables(session, build_args) | build_args,
        "labels": dict(text.partition("=")[::2] for text in flags.get("label", [])),
        "extrahosts": ",".join(flags.get("add-host", [])),
        "shmsize": flags.get("shm-size"),
        "memory": flags.get("memory"),
        "cpushares": flags.get("cpu-shares"),
        "cpuperiod": flags.get("cpu-period"),
        "cpuquota": flags.get("cpu-quota"),
        "cpusetcpus": flags.get("cpuset-cpus"),
        "cgroupparent": flags.get("cgroup-parent"),
        "pull": flags.get("pull"),
        "pidslimit": flags.get("pids-limit"),
        "timeout": -(-timeout // 10**9) if timeout else None,
        "ulimits": [_ulimit(text) for text in flags.get("ulimit", [])] or None,
        "verify": flags.get("verify"),
        "entitlements": ",".join(word for text in flags.get("allow", []) for word in text.split(",") if word),
    }


def _ulimit(text: str) -> dict[str, Any]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise ExitWith(f"invalid ulimit argument: {text}") from None


def _headers(session: Session, flags: dict[str, Any], lock: str) -> dict[str, str]:
    from wharf.cli.credentials import Credentials

    headers = Credentials(session.config).headers_of_all()
    if flags.get("secret"):
        headers["X-Wharf-Secrets"] = _secrets(flags["secret"])
    if flags.get("locked"):
        import base64

        data = _read_bytes(lock, "lock file")
        if len(data) > MAX_LOCK:
            raise ExitWith(f"wharf: the lock file {lock} is larger than {MAX_LOCK} bytes")
        headers["X-Wharf-Lock"] = base64.b64encode(data).decode()
    return headers


def _lock_path(flags: dict[str, Any], path: str) -> str:
    file = flags.get("file") or ("Dockerfile" if not os.path.isdir(path) else os.path.join(path, "Dockerfile"))
    return ("Dockerfile" if file == "-" else file) + ".lock"


def _show(session: Session, response: Any, flags: dict[str, Any], shown: tuple[str, Receiver, str]) -> int:
    """The stream's lines; the id into its file. A failing step's own code is the exit code."""
    kind, receiver, lock = shown
    view = _view(kind, receiver)
    end: dict[str, Any] = {}
    try:
        for item in session.client().lines(response):
            detail = item.get("errorDetail") or {}
            if detail or "error" in item:
                raise ExitWith(detail.get("message") or item.get("error", ""), int(detail.get("code") or 1))
            if "output" in item:
                receiver.take(item)
            elif "warning" in item:
                session.complain(f"WARNING: {item['warning']}")
            elif "aux" in item or "sources" in item or "differences" in item:
                end |= item.get("aux") or item
            elif kind != "quiet":
                view.show(item)
    except BaseException:
        view.close()
        receiver.drop()
        raise
    view.close()
    receiver.finish()
    if kind == "quiet" and not receiver.to_stdout:
        session.line(end.get("ID", ""))
    if flags.get("iidfile"):
        with open(flags["iidfile"], "w") as file:
            file.write(end.get("ID", ""))
    if flags.get("lock"):
        _write_lock(lock, end.get("sources", {}))
    return _verified(session, end.get("differences")) if flags.get("verify") else 0


def _view(kind: str, receiver: Receiver) -> Any:
    from wharf.cli.build_view import Live, Plain, RawJson

    if kind == "rawjson":
        return RawJson()
    out = sys.stderr if receiver.to_stdout or kind == "tty" else sys.stdout
    return Live(out) if kind == "tty" else Plain(out)


def _write_lock(path: str, sources: dict[str, str]) -> None:
    import json

    text = json.dumps({"version": 1, "sources": sources}, indent=2, sort_keys=True) + "\n"
    staged = f"{path}.partial"
    with open(staged, "w") as file:
        file.write(text)
    os.rename(staged, path)


def _verified(session: Session, differences: list[str] | None) -> int:
    """What the second build was like."""
    for line in differences or ():
        session.complain(line)
    if differences:
        session.complain(f"Verification failed: {len(differences)} differences between two builds")
        return 1
    session.complain("Verified: two builds in different directories and of different owners are equal")
    return 0


def _check(session: Session, flags: dict[str, Any], path: str) -> int:
    """The build checks that need no engine."""
    from wharf.dockerfile.checks import Checks, check_text, parse_options
    from wharf.dockerfile.parse import parse_dockerfile
    from wharf.dockerfile.position import DockerfileError, excerpt

    text = read_text(flags.get("file") or os.path.join(path, "Dockerfile"))
    try:
        file = parse_dockerfile(text)
    except DockerfileError as error:
        shown = "\n" + excerpt(text, error.lines) if error.lines else ""
        raise ExitWith(error.message + shown) from None
    checks = Checks(parse_options(file.check))
    check_text(file, checks)
    findings: list[dict[str, Any]] = [
        {"rule": found.rule, "message": found.message, "line": found.lines.first, "excerpt": excerpt(text, found.lines)}
        for found in checks.findings
    ]
    return _show_findings(session, findings, flags.get("file") or os.path.join(path, "Dockerfile"))


def _show_check(session: Session, response: Any, file: str) -> int:
    findings: list[dict[str, Any]] = []
    for item in session.client().lines(response):
        if "error" in item:
            raise ExitWith(item["error"])
        findings += item.get("findings", [])
    return _show_findings(session, findings, file)


def _show_findings(session: Session, findings: list[dict[str, Any]], file: str) -> int:
    """As `docker buildx build --check` tells them, in the order of the file."""
    if not findings:
        session.line("Check complete, no warnings found.")
        return 0
    many = f"{len(findings)} warnings have" if len(findings) > 1 else "1 warning has"
    session.line(f"Check complete, {many} been found!")
    for found in sorted(findings, key=lambda found: int(found["line"])):
        page = _RULE.sub(r"-\1", found["rule"]).lower().lstrip("-")
        session.line(f"\nWARNING: {found['rule']} - {RULES_AT}{page}/\n{found['message']}\n{file}:{found['line']}")
        session.line(f"{_FRAME}\n{found['excerpt']}\n{_FRAME}")
    return 1


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


def _read_bytes(path: str, what: str = "secret") -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_SECRET + 1)
    except OSError as error:
        raise ExitWith(f"wharf: cannot read the {what} {path}: {error.strerror}") from None
