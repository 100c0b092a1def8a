"""Git sources: `https://host/repo.git#ref:subdir`, `git@host:repo`, `git://…`, `ssh://…`, with a query of their own."""

import re
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

from wharf.build.graph import GitSource
from wharf.errors import Invalid

_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:(?!/?/)[^\s#?]+")
_SAFE = re.compile(r"[A-Za-z0-9_./@^~:+-]*\Z")
_QUERY = ("ref", "branch", "tag", "subdir", "checksum", "commit", "submodules", "keep-git-dir")


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:  # brackets without an address, characters that look like others
        raise Invalid(f"invalid URL {url[:200]!r}: {error}") from None


def git_source(text: str, keep_git: bool | None = None, checksum: str = "") -> GitSource | None:
    """The source that a word of ADD or a remote context names; None for another word. Raises Invalid for a bad one."""
    bare, _, fragment = text.partition("#")
    if _SCP.match(bare):
        url, query = bare, {}
    elif bare.startswith(("git://", "ssh://")) or (
        bare.startswith(("http://", "https://")) and _parts(bare).path.endswith(".git")
    ):
        parts = _parts(bare)
        query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    else:
        return None
    unknown = next((key for key in query if key not in _QUERY), None)
    if unknown is not None:
        raise Invalid(f"unexpected query {unknown!r} in git URL")
    ref, _, subdir = fragment.partition(":")
    ref = query.get("ref") or query.get("tag") or query.get("branch") or query.get("commit") or ref
    subdir = query.get("subdir") or subdir
    for value in (ref, subdir):
        if value.startswith("-") or not _SAFE.match(value) or ".." in value.split("/"):
            raise Invalid(f"invalid git reference or directory {value[:100]!r}")
    keep = query.get("keep-git-dir", "").lower() in ("1", "true") if "keep-git-dir" in query else bool(keep_git)
    submodules = query.get("submodules", "true").lower() not in ("0", "false")
    return GitSource(url, ref, subdir.strip("/"), keep, query.get("checksum", checksum), submodules)
