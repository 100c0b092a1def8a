"""Images: images, rmi, tag, history, commit."""

from __future__ import annotations

import time

from wharf.cli import references, units
from wharf.cli.flags import ANY, Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session
from wharf.cli.table import ellipsis
from wharf.client.api import query, quote
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NO_TRUNC = ("no-trunc", "", "bool", "Don't truncate output")
_QUIET = ("quiet", "q", "bool", "Only show image IDs")
_FORMAT = ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template")
IMAGES = Command(
    "images",
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        ("all", "a", "bool", "Show all images (default hides intermediate images)"),
        ("digests", "", "bool", "Show digests"),
        ("filter", "f", "list:filter", "Filter output based on conditions provided"),
        _FORMAT,
        _NO_TRUNC,
        _QUIET,
        ("tree", "", "bool", "List multi-platform images as a tree (EXPERIMENTAL)"),
    ),
    operands=(0, 1),
    checks={"filter": filter_flag},
    example="wharf images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
    aliases="wharf image ls, wharf image list, wharf images",
)
RMI = Command(
    "rmi",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    (
        ("force", "f", "bool", "Force removal of the image"),
        ("no-prune", "", "bool", "Do not delete untagged parents"),
        ("platform", "", "list:strings", "Remove only the given platform variant (os/arch[/variant])"),
    ),
    operands=(1, ANY),
    example="wharf rmi busybox:old",
    aliases="wharf image rm, wharf image remove, wharf rmi",
)
TAG = Command(
    "tag",
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    operands=(2, 2),
    example="wharf tag busybox mine/busybox:1",
    aliases="wharf image tag, wharf tag",
)
HISTORY = Command(
    "history",
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    (
        _FORMAT,
        ("human", "H", "bool", "Print sizes and dates in human readable format (default true)"),
        _NO_TRUNC,
        ("platform", "", "string", "Show history for the given platform"),
        _QUIET,
    ),
    operands=(1, 1),
    example="wharf history busybox",
    aliases="wharf image history, wharf history",
)
COMMIT = Command(
    "commit",
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    (
        ("author", "a", "string", "Author (e.g., 'John Hannibal Smith <hannibal@a-team.com>')"),
        ("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "Commit message"),
        ("pause", "p", "bool", "Pause container during commit (default true)"),
    ),
    operands=(1, 2),
    example="wharf commit -m 'server installed' -c 'CMD [\"postgres\"]' build database:1",
    aliases="wharf container commit, wharf commit",
)
_HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE", "VirtualSize": "SIZE",
}  # fmt: skip


def images(session: Session, args: list[str]) -> int:
    """Lists images, one row a name."""
    flags, names = IMAGES.parse(args)
    filters = add_filters(flags.get("filter", [])) or {}
    if names:
        filters["reference"] = {names[0]: True}
    if flags.get("tree"):
        from wharf.cli.image_tree import check_flags, show_tree

        check_flags(flags)
        found = session.client().get("/images/json", all=flags.get("all"), filters=filters or None, manifests=True)
        show_tree(session, found or [])
        return 0
    found = session.client().get("/images/json", all=flags.get("all"), filters=filters or None)
    digests = flags.get("digests", False)
    rows = [row for image in found or [] for row in _rows(image, flags.get("no-trunc", False))]
    fields = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
    columns = [Column(field, _HEADERS[field]) for field in fields if digests or field != "Digest"]
    show(session, Listing(columns, _HEADERS, "ID"), rows, flags.get("format", ""), quiet=flags.get("quiet", False))
    return 0


def _rows(image: dict[str, Any], whole: bool) -> list[dict[str, Any]]:
    created = image.get("Created", 0)
    size = units.human_size(image.get("Size", 0), 3)
    row = {
        "Containers": "N/A",
        "CreatedAt": units.go_time(created),
        "CreatedSince": units.human_duration(time.time() - created) + " ago" if created else "N/A",
        "ID": image["Id"] if whole else image["Id"].removeprefix("sha256:")[:12],
        "SharedSize": "N/A" if image.get("SharedSize", -1) == -1 else units.human_size(image["SharedSize"], 3),
        "Size": size,
        "UniqueSize": "N/A",
        "VirtualSize": units.human_size(image.get("Size", 0)),
    }
    digest_of: dict[str, list[str]] = {}
    for text in image.get("RepoDigests") or []:
        repository, _, digest = text.partition("@")
        digest_of.setdefault(repository, []).append(digest)
    out = []
    for name in image.get("RepoTags") or []:
        if name == "<none>:<none>":
            continue
        repository, tag = references.split(name)
        digest = (digest_of.get(repository) or ["<none>"])[0]
        out.append({**row, "Repository": repository, "Tag": tag, "Digest": digest})
    tagged = {row["Repository"] for row in out}
    for repository, values in digest_of.items():
        if repository not in tagged and repository != "<none>":
            out += [{**row, "Repository": repository, "Tag": "<none>", "Digest": digest} for digest in values]
    return out or [{**row, "Repository": "<none>", "Tag": "<none>", "Digest": "<none>"}]


def rmi(session: Session, args: list[str]) -> int:
    """Removes names and, with the last one, the image."""
    flags, names = RMI.parse(args)
    status = 0
    texts = [text for value in flags.get("platform", []) for text in value.split(",")]
    chosen = [query({"platforms": references.platform(text)})[1:] for text in texts]
    options = [query({"force": flags.get("force"), "noprune": flags.get("no-prune")})[1:], *chosen]
    for name in names:
        path = f"/images/{quote(name, '/:@')}?{'&'.join(filter(None, options))}".rstrip("?")
        try:
            items = session.client().delete(path)
        except ApiError as error:
            session.complain(session.words(error))
            status = status if flags.get("force") and error.status == 404 else 1
            continue
        for item in items or []:
            session.line(f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item['Untagged']}")
    return status


def tag(session: Session, args: list[str]) -> int:
    """Gives an image another name."""
    _, (source, target) = TAG.parse(args)
    repository, name = references.split(target)
    parameters = query({"repo": references.canonical(repository), "tag": name or "latest"})
    session.client().request("POST", f"/images/{quote(source, '/:@')}/tag" + parameters).read_all()
    return 0


def history(session: Session, args: list[str]) -> int:
    """Lists the steps that made an image, the newest first."""
    flags, (name,) = HISTORY.parse(args)
    whole, human = flags.get("no-trunc", False), flags.get("human", True)
    rows = []
    platform = references.platform(flags.get("platform", "")) or None
    for item in session.client().get(f"/images/{quote(name, '/:@')}/history", platform=platform) or []:
        text = item["CreatedBy"].replace("\t", " ")
        image = item["Id"]
        since = units.human_duration(time.time() - item["Created"]) + " ago" if item["Created"] > 0 else "N/A"
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(item["Created"]))
        rows.append(
            {
                "ID": image if whole or image == "<missing>" else image.removeprefix("sha256:")[:12],
                "CreatedSince": since if human else created,
                "CreatedAt": created,
                "CreatedBy": text if whole else ellipsis(text, 45),
                "Size": units.human_size(item["Size"], 3) if human else str(item["Size"]),
                "Comment": item.get("Comment", ""),
            }
        )
    headers = {
        "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
        "Size": "SIZE", "Comment": "COMMENT",
    }  # fmt: skip
    columns = [Column(field, header) for field, header in headers.items() if field != "CreatedAt"]
    show(session, Listing(columns, headers, "ID"), rows, flags.get("format", ""), quiet=flags.get("quiet", False))
    return 0


def commit(session: Session, args: list[str]) -> int:
    """Makes an image of a container's file system; prints its id."""
    flags, (container, *name) = COMMIT.parse(args)
    repository, tag_name = references.split(name[0]) if name else ("", "")
    parameters = {
        "container": container,
        "repo": references.canonical(repository) if repository else "",
        "tag": tag_name or ("latest" if repository else ""),
        "comment": flags.get("message"),
        "author": flags.get("author"),
        "pause": None if flags.get("pause", True) else "0",
    }
    changes = "".join(f"&changes={quote(change)}" for change in flags.get("change", []))
    answer = session.client().request("POST", "/commit" + query(parameters) + changes)
    session.line(answer.json()["Id"])
    return 0
