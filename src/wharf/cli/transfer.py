"""pull and push."""

from __future__ import annotations

from wharf.cli import progress, references
from wharf.cli.credentials import Credentials
from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query, quote

_TRUST = ("disable-content-trust", "", "bool", "Skip image verification (default true)")
_QUIET = ("quiet", "q", "bool", "Suppress verbose output")
PULL = Command(
    "pull",
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    (
        ("all-platforms", "", "bool", "Keep all platforms and attestations of an index"),
        ("all-tags", "a", "bool", "Download all tagged images in the repository"),
        _TRUST,
        ("platform", "", "string", "Set platform if server is multi-platform capable"),
        _QUIET,
        ("referrers", "", "bool", "Keep what refers to the image (signatures, bills of material) beside it"),
    ),
    operands=(1, 1),
    example="wharf pull registry.example.com/team/app:1",
    aliases="wharf image pull, wharf pull",
)
PUSH = Command(
    "push",
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    (
        ("all-tags", "a", "bool", "Push all tags of an image to the repository"),
        _TRUST,
        ("platform", "", "string", "Push a platform-specific manifest as a single-platform image to the registry"),
        _QUIET,
        ("referrers", "", "bool", "Push what is kept beside the image too"),
    ),
    operands=(1, 1),
    example="wharf push registry.example.com/team/app:1",
    aliases="wharf image push, wharf push",
)


def pull(session: Session, args: list[str]) -> int:
    """Pulls an image; bars on a terminal, lines elsewhere."""
    flags, (name,) = PULL.parse(args)
    quiet, everything = flags.get("quiet", False), flags.get("all-tags", False)
    repository, tag = references.split(name)
    if tag and everything:
        raise ExitWith("tag can't be used with --all-tags/-a")
    if not tag and not everything:
        tag = "latest"
        if not quiet:
            session.line("Using default tag: latest")
    whole = references.canonical(repository)
    platform = "all" if flags.get("all-platforms") else flags.get("platform", "")
    parameters = {"fromImage": whole, "tag": tag, "platform": platform, "referrers": flags.get("referrers")}
    headers = Credentials(session.config).header(name)
    response = session.client().request("POST", "/images/create" + query(parameters), headers=headers)
    progress.bars(session, response, quiet=quiet)
    if not everything:
        session.line(whole + ("@" if ":" in tag else ":") + tag)
    return 0


def push(session: Session, args: list[str]) -> int:
    """Pushes a name, or every name of a repository."""
    flags, (name,) = PUSH.parse(args)
    quiet, everything = flags.get("quiet", False), flags.get("all-tags", False)
    repository, tag = references.split(name)
    if tag and everything:
        raise ExitWith("tag can't be used with --all-tags/-a")
    if "@" in name:
        raise ExitWith("cannot push a digest reference")
    if not tag and not everything:
        tag = "latest"
        if not quiet:
            session.line("Using default tag: latest")
    platform = references.platform(flags.get("platform", ""))
    headers = Credentials(session.config).header(name)
    parameters = {"tag": tag, "platform": platform or None, "referrers": flags.get("referrers")}
    path = f"/images/{quote(repository, '/:')}/push" + query(parameters)
    response = session.client().request("POST", path, headers=headers)
    progress.bars(session, response, quiet=quiet)
    if quiet:
        session.line(references.canonical(repository) + (f":{tag}" if tag else ""))
    return 0
