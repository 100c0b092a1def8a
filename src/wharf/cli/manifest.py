"""manifest: what a registry has under a name, and lists of several platforms' manifests."""

from __future__ import annotations

import json

from wharf.cli.credentials import Credentials
from wharf.cli.flags import ANY, Command
from wharf.cli.manifest_lists import ManifestLists, domain_of, entry_of, index_of, path_of, repository_of, whole_name
from wharf.cli.session import ExitWith, Session
from wharf.client.api import quote
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INSECURE = ("insecure", "", "bool", "Allow communication with an insecure registry")
INSPECT = Command(
    "manifest inspect",
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Display an image manifest, or manifest list",
    (_INSECURE, ("verbose", "v", "bool", "Output additional info including layers and platform")),
    operands=(1, 2),
    example="wharf manifest inspect busybox:latest",
)
CREATE = Command(
    "manifest create",
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Create a local manifest list for annotating and pushing to a registry",
    (("amend", "a", "bool", "Amend an existing manifest list"), _INSECURE),
    operands=(2, ANY),
    example="wharf manifest create registry.example/app:1 registry.example/app:1-amd64 registry.example/app:1-arm64",
)
ANNOTATE = Command(
    "manifest annotate",
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Add additional information to a local image manifest",
    (
        ("arch", "", "string", "Set architecture"),
        ("os", "", "string", "Set operating system"),
        ("os-features", "", "list", "Set operating system feature"),
        ("os-version", "", "string", "Set operating system version"),
        ("variant", "", "string", "Set architecture variant"),
    ),
    operands=(2, 2),
    example="wharf manifest annotate --arch arm --variant v7 registry.example/app:1 registry.example/app:1-arm",
)
PUSH = Command(
    "manifest push",
    "[OPTIONS] MANIFEST_LIST",
    "Push a manifest list to a repository",
    (_INSECURE, ("purge", "p", "bool", "Remove the local manifest list after push")),
    operands=(1, 1),
    example="wharf manifest push registry.example/app:1",
)
RM = Command(
    "manifest rm",
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Delete one or more manifest lists from local storage",
    operands=(1, ANY),
    example="wharf manifest rm registry.example/app:1",
)
_PLATFORM = (("arch", "architecture"), ("os", "os"), ("variant", "variant"), ("os-version", "os.version"),
             ("os-features", "os.features"))  # fmt: skip
_QUERY = {False: "", True: "?insecure=1"}


def inspect(session: Session, args: list[str]) -> int:
    """Prints the document, indented as docker does it: of a list that is here, else the daemon asks the registry."""
    flags, (*within, name) = INSPECT.parse(args)
    lists = ManifestLists(session.config)
    found = [_entry(lists, within[0], name)] if within else lists.entries(whole_name(name))
    if flags.get("verbose"):
        found = found or _asked(session, name, flags.get("insecure", False))
        _print(session, found[0] if len(found) == 1 else found)
    elif within:
        _print(session, next(found[0][key] for key in ("OCIManifest", "SchemaV2Manifest") if key in found[0]))
    else:
        document = index_of(found)[1] if found else _document(session, name, flags.get("insecure", False))[1]
        _print(session, json.loads(document))
    return 0


def create(session: Session, args: list[str]) -> int:
    """Asks the registry for each manifest and writes the list down."""
    flags, (target, *names) = CREATE.parse(args)
    name, lists = whole_name(target), ManifestLists(session.config)
    if lists.entries(name) and not flags.get("amend"):
        raise ExitWith("refusing to amend an existing manifest list with no --amend flag")
    entries = []
    for source in names:
        found = _asked(session, source, flags.get("insecure", False))
        if len(found) != 1:
            raise ExitWith(f"{source} is a manifest list")
        entries += found
    for entry in entries:
        lists.put(name, entry)
    session.line(f"Created manifest list {name}")
    return 0


def annotate(session: Session, args: list[str]) -> int:
    """Changes the platform of a manifest in a list."""
    flags, (target, source) = ANNOTATE.parse(args)
    lists = ManifestLists(session.config)
    entry = _entry(lists, target, source)
    platform = entry["Descriptor"].setdefault("platform", {})
    platform.update({key: flags[flag] for flag, key in _PLATFORM if flags.get(flag)})
    if not platform.get("os") or not platform.get("architecture"):
        raise ExitWith(f"manifest {source} has no architecture or operating system: name it with --arch and --os")
    lists.put(whole_name(target), entry)
    return 0


def push(session: Session, args: list[str]) -> int:
    """The daemon brings what the repository lacks from its neighbours, then the list; prints its digest."""
    flags, (target,) = PUSH.parse(args)
    name, lists = whole_name(target), ManifestLists(session.config)
    entries = lists.entries(name)
    if not entries:
        raise ExitWith(f"{name} not found")
    for entry in entries:
        if domain_of(whole_name(entry["Ref"])) != domain_of(name):
            raise ExitWith("cannot use source images from a different registry than the target image: "
                           f"{domain_of(whole_name(entry['Ref']))} != {domain_of(name)}")  # fmt: skip
    media, document = index_of(entries)
    sources = dict.fromkeys(path_of(whole_name(entry["Ref"])) for entry in entries)
    options = [f"from={quote(source)}" for source in sources if source != path_of(name)]
    query = "&".join([*options, *(["insecure=1"] if flags.get("insecure") else [])])
    client = session.client()
    client.require_wharf("manifest push")
    headers = {**Credentials(session.config).header(name), "Content-Type": media}
    path = f"/wharf/v1/distribution/{quote(name, '/:@')}/manifest" + (f"?{query}" if query else "")
    session.line(client.upload("PUT", path, iter((document,)), headers=headers).json()["Digest"])
    if flags.get("purge"):
        lists.remove(name)
    return 0


def rm(session: Session, args: list[str]) -> int:
    """Forgets lists."""
    _, names = RM.parse(args)
    status = 0
    for name in names:
        if not ManifestLists(session.config).remove(whole_name(name)):
            session.complain(f"No such manifest: {whole_name(name)}")
            status = 1
    return status


def _entry(lists: ManifestLists, target: str, source: str) -> dict[str, Any]:
    found = [entry for entry in lists.entries(whole_name(target)) if entry["Ref"] == whole_name(source)]
    if not found:
        raise ExitWith(f"manifest for image {source} does not exist in {target}")
    return found[0]


def _print(session: Session, value: Any) -> None:
    session.line(json.dumps(value, indent="\t", ensure_ascii=False))


def _asked(session: Session, name: str, insecure: bool) -> list[dict[str, Any]]:
    """The manifest behind a name, or all of its list, each as docker writes it down."""
    media, document = _document(session, name, insecure)
    raw = json.loads(document)
    if isinstance(raw.get("manifests"), list):
        repository = repository_of(whole_name(name))
        return [
            entry_of(whole_name(name), item, _document(session, f"{repository}@{item['digest']}", insecure)[1])
            for item in raw["manifests"]
        ]
    headers = Credentials(session.config).header(name)
    path = f"/wharf/v1/distribution/{quote(name, '/:@')}/json{_QUERY[insecure]}"
    answer = session.client().request("GET", path, headers=headers).json()
    described = answer["Descriptor"]
    descriptor = {"mediaType": media, "size": described["size"], "digest": described["digest"]}
    if platforms := answer.get("Platforms"):
        descriptor["platform"] = platforms[0]
    return [entry_of(whole_name(name), descriptor, document)]


def _document(session: Session, name: str, insecure: bool) -> tuple[str, bytes]:
    """Media type and document, as the registry has them; raises ExitWith when it has none."""
    client = session.client()
    client.require_wharf("manifest inspect")
    path = f"/wharf/v1/distribution/{quote(name, '/:@')}/manifest{_QUERY[insecure]}"
    try:
        response = client.request("GET", path, headers=Credentials(session.config).header(name))
    except ApiError as error:
        if error.status == 404:
            raise ExitWith(f"no such manifest: {name}") from None
        raise
    return response.headers.get("content-type", ""), response.read_all()
