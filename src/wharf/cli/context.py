"""`wharf context`: which daemon the next commands speak to, by name."""

from __future__ import annotations

import io
import json
import os
import sys

from wharf.cli.contexts import DEFAULT, MAX_META, PEM, Store
from wharf.cli.flags import ANY, Command
from wharf.cli.listing import Column, Listing, show
from wharf.cli.session import ExitWith, Session
from wharf.errors import Invalid, WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DESCRIPTION = ("description", "", "string", "Description of the context")
_DOCKER = ("docker", "", "list:stringToString", "set the docker endpoint (host, ca, cert, key, skip-tls-verify, from)")
CREATE = Command(
    "context create",
    "[OPTIONS] CONTEXT",
    "Create a context",
    (_DESCRIPTION, _DOCKER, ("from", "", "string", "create context from a named context")),
    operands=(1, 1),
    example="wharf context create server --docker host=ssh://root@server",
)
UPDATE = Command(
    "context update",
    "[OPTIONS] CONTEXT",
    "Update a context",
    (_DESCRIPTION, _DOCKER),
    operands=(1, 1),
    example="wharf context update server --description 'the one in the cellar'",
)
LS = Command(
    "context ls",
    "[OPTIONS]",
    "List contexts",
    (
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("quiet", "q", "bool", "Only show context names"),
    ),
    example="wharf context ls",
    aliases="wharf context ls, wharf context list",
)
INSPECT = Command(
    "context inspect",
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Display detailed information on one or more contexts",
    (("format", "f", "string", "'json' or a Go template"),),
    operands=(0, ANY),
    example="wharf context inspect server",
)
RM = Command(
    "context rm",
    "[OPTIONS] CONTEXT [CONTEXT...]",
    "Remove one or more contexts",
    (("force", "f", "bool", "Force the removal of a context in use"),),
    operands=(1, ANY),
    example="wharf context rm server",
    aliases="wharf context rm, wharf context remove",
)
USE = Command("context use", "CONTEXT", "Set the default context", operands=(1, 1), example="wharf context use server")
SHOW = Command("context show", "", "Print the name of the current context", example="wharf context show")
EXPORT = Command(
    "context export",
    "[OPTIONS] CONTEXT [FILE|-]",
    "Export a context to a tar archive FILE or a tar stream on STDOUT.",
    operands=(1, 2),
    example="wharf context export server server.dockercontext",
)
IMPORT = Command(
    "context import",
    "CONTEXT FILE|-",
    "Import a context from a tar or zip file",
    operands=(2, 2),
    example="wharf context import server server.dockercontext",
)
_HEADERS = {
    "Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR",
    "Current": "CURRENT", "ContextType": "TYPE",
}  # fmt: skip


def create(session: Session, args: list[str]) -> int:
    """Makes a context."""
    flags, (name,) = CREATE.parse(args)
    store = Store(session.config)
    docker = _end_point(store, flags)
    if flags.get("from") and docker is None:
        docker = _of(store, flags["from"])
    if docker is None:
        docker = _of(store, store.current(session.context))
    store.put(name, flags.get("description", ""), docker, create=True)
    session.line(name)
    session.complain(f'Successfully created context "{name}"')
    return 0


def update(session: Session, args: list[str]) -> int:
    """Changes a context."""
    flags, (name,) = UPDATE.parse(args)
    store = Store(session.config)
    store.put(name, flags.get("description", ""), _end_point(store, flags), create=False)
    session.line(name)
    session.complain(f'Successfully updated context "{name}"')
    return 0


def ls(session: Session, args: list[str]) -> int:
    """Lists the contexts, the default first."""
    flags, _ = LS.parse(args)
    store = Store(session.config)
    current = store.current(session.context)
    rows = []
    for name in sorted([DEFAULT, *store.names()]):
        meta = store.get(name)
        description = meta.get("Metadata", {}).get("Description", "")
        if name == DEFAULT:
            description = "Current DOCKER_HOST based configuration"
        host = meta.get("Endpoints", {}).get("docker", {}).get("Host", "")
        rows.append(
            {"Name": name, "Description": description, "DockerEndpoint": host, "Error": "", "ContextType": "moby",
             "Current": name == current, "Shown": f"{name} *" if name == current else name}
        )  # fmt: skip
    columns = [Column("Shown", "NAME"), *(Column(field, _HEADERS[field]) for field in _LISTED)]
    form = flags.get("format", "")
    if form and form != "table":
        rows = [{key: value for key, value in row.items() if key != "Shown"} for row in rows]
    show(session, Listing(columns, _HEADERS, "Name"), rows, form, quiet=flags.get("quiet", False))
    if os.environ.get("DOCKER_HOST") and not session.context:
        session.complain(f"{_OVERRIDES}To use a context, {_EITHER}")
    return 0


_OVERRIDES = "Warning: DOCKER_HOST environment variable overrides the active context. "
_EITHER = "either set the global --context flag, or unset DOCKER_HOST environment variable."
_LISTED = ("Description", "DockerEndpoint", "Error")


def inspect(session: Session, args: list[str]) -> int:
    """Shows contexts as they are stored, with where they are."""
    from wharf.cli.inspect import templated
    from wharf.client import jsontext

    flags, names = INSPECT.parse(args)
    store = Store(session.config)
    found: list[dict[str, Any]] = []
    complaints = []
    for name in names or [store.current(session.context)]:
        try:
            found.append(_described(store, name))
        except WharfError as error:
            complaints.append(error.message)
    form = flags.get("format", "")
    if form == "json":
        session.line(jsontext.dumps(found))
    elif form:
        templated(session, found, form)
    else:
        session.line(jsontext.indented(found))
    for complaint in complaints:
        session.complain(complaint)
    return 1 if complaints else 0


def _described(store: Store, name: str) -> dict[str, Any]:
    meta = store.get(name)
    files = {} if name == DEFAULT else store.tls_files(name)
    place = "<IN MEMORY>"
    return {
        "Name": name,
        "Metadata": meta.get("Metadata", {}),
        "Endpoints": meta.get("Endpoints", {}),
        "TLSMaterial": {"docker": sorted(files)} if files else {},
        "Storage": {
            "MetadataPath": place if name == DEFAULT else os.path.dirname(store.meta(name)),
            "TLSPath": place if name == DEFAULT else os.path.dirname(store.tls(name)),
        },
    }


def rm(session: Session, args: list[str]) -> int:
    """Removes contexts."""
    flags, names = RM.parse(args)
    store = Store(session.config)
    status = 0
    for name in names:
        try:
            store.remove(name, flags.get("force", False))
        except WharfError as error:
            session.complain(f"failed to remove context {name}: {error.message}" if name != DEFAULT else error.message)
            status = 1
        else:
            session.line(name)
    return status


def use(session: Session, args: list[str]) -> int:
    """Makes a context the current one."""
    _, (name,) = USE.parse(args)
    Store(session.config).use(name)
    session.line(name)
    session.complain(f'Current context is now "{name}"')
    if os.environ.get("DOCKER_HOST"):
        session.complain(f'{_OVERRIDES}To use "{name}", {_EITHER}')
    return 0


def show_(session: Session, args: list[str]) -> int:
    """Prints the current context's name."""
    SHOW.parse(args)
    session.line(Store(session.config).current(session.context))
    return 0


def export(session: Session, args: list[str]) -> int:
    """Writes meta.json and the TLS files as a tar archive, as docker does."""
    import tarfile

    _, words = EXPORT.parse(args)
    name, target = words[0], words[1] if len(words) > 1 else f"{words[0]}.dockercontext"
    store = Store(session.config)
    members = {"meta.json": json.dumps(store.get(name)).encode()}
    members |= {f"tls/docker/{file}": data for file, data in store.tls_files(name).items()} if name != DEFAULT else {}
    if target == "-" and sys.stdout.isatty():
        raise ExitWith("cowardly refusing to export to a terminal, specify a file path")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in members.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    if target == "-":
        sys.stdout.buffer.write(out.getvalue())
        return 0
    try:
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(out.getvalue())
    except OSError as error:
        raise ExitWith(f"open {target}: {(error.strerror or '').lower()}") from None
    session.complain(f'Written file "{target}"')
    return 0


def import_(session: Session, args: list[str]) -> int:
    """Reads what `export` wrote, here or by docker; of an archive only the names that belong there count."""
    import tarfile
    import zipfile

    _, (name, source) = IMPORT.parse(args)
    try:
        data = sys.stdin.buffer.read(MAX_META) if source == "-" else open(source, "rb").read(MAX_META)  # noqa: SIM115
    except OSError as error:
        raise ExitWith(f"open {source}: {(error.strerror or '').lower()}") from None
    wanted = {"meta.json", *(f"tls/docker/{file}" for _, file in PEM)}
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as zipped:
                sizes = {item.filename: item.file_size for item in zipped.infolist()}
                members = {path: zipped.read(path) for path in wanted & set(sizes) if sizes[path] <= MAX_META}
        else:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                files = [item for item in archive if item.isfile() and item.name in wanted and item.size <= MAX_META]
                members = {item.name: archive.extractfile(item).read() for item in files}  # type: ignore[union-attr]
        meta = json.loads(members["meta.json"])
    except (tarfile.TarError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise Invalid(f"invalid context: {error}") from None
    if not isinstance(meta, dict):
        raise Invalid("invalid context: meta.json is no object")
    rest = {path.rpartition("/")[2]: content for path, content in members.items() if path != "meta.json"}
    Store(session.config).restore(name, meta, rest)
    session.line(name)
    session.complain(f'Successfully imported context "{name}"')
    return 0


def _end_point(store: Store, flags: dict[str, Any]) -> dict[str, str] | None:
    """`--docker host=…,ca=…`; raises Invalid for a key that is not there."""
    if not flags.get("docker"):
        return None
    pairs = [item.partition("=") for text in flags["docker"] for item in text.split(",") if item]
    given = {key: value for key, _, value in pairs}
    unknown = sorted(set(given) - {"host", "ca", "cert", "key", "skip-tls-verify", "from"})
    if unknown:
        raise Invalid(f"unable to create docker endpoint config: unrecognized config key: {unknown[0]}")
    if "from" in given:
        return _of(store, given["from"])
    if not given.get("host"):
        raise Invalid("unable to create docker endpoint config: docker endpoint configuration is required")
    return given


def _of(store: Store, name: str) -> dict[str, str]:
    """The end point of another context."""
    docker = store.get(name).get("Endpoints", {}).get("docker", {})
    found = {"host": str(docker.get("Host", "")), "skip-tls-verify": str(docker.get("SkipTLSVerify", ""))}
    if name != DEFAULT:
        there = store.tls_files(name)
        found |= {option: os.path.join(store.tls(name), file) for option, file in PEM if file in there}
    return found
