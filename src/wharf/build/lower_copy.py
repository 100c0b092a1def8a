"""COPY and ADD: from the client's files, stages, images, URLs, repositories and here-documents."""

import posixpath
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from wharf.build.git_url import git_source
from wharf.build.graph import CopyFiles, FileAction, Files, GitSource, HttpSource, Mkfile, Vertex
from wharf.build.stage import StageState
from wharf.dockerfile.effects import resolve_workdir
from wharf.dockerfile.ignore import IgnoreRules
from wharf.dockerfile.instructions import Copy
from wharf.errors import Invalid
from wharf.spec.chmod import check_chmod
from wharf.spec.digest import Digest
from wharf.spec.quote import go_quote

UNNAMED = "__unnamed__"
_WILD = re.compile(r"(?<!\\)[*?\[]")
_MANY = "When using {name} with more than one source file, the destination must be a directory and end with a /"


def lower_copy(state: StageState, item: Copy, source: Vertex | None) -> None:
    """Add the step; `source` is the tree that paths are of. Raises Invalid with BuildKit's words."""
    name = "ADD" if item.add else "COPY"
    words: Callable[[str], str] = lambda word: state.expand(word, item)  # noqa: E731
    sources = [words(word) for word in item.sources]
    target, chown, chmod = words(item.target), words(item.chown), words(item.chmod)
    checksum = words(item.checksum)
    if chmod:
        check_chmod(chmod)
    _check_checksum(item, sources, checksum)
    if len(sources) + len(item.files) > 1 and not _is_directory(target):
        raise Invalid(_MANY.format(name=name))
    place = _place(state, target)
    inputs: list[Vertex | None] = []
    actions = [_action(state, item, path, source, inputs, place, chown, chmod, checksum) for path in sources]
    for file in item.files:
        text = state.expand(file.text, item, quotes=False) if file.expand else file.text
        path = place + file.name if place.endswith("/") else place
        actions.append(Mkfile(path, text, int(chmod, 8) if chmod.isdigit() else 0o644, chown, chmod))
    title = state.title(item.code)
    state.add(Files(tuple(actions), linked=item.link and not chmod), tuple(inputs), title, item)
    flags = [flag for flag in ("--parents" if item.parents else "", f"--chown={chown}" if chown else "",
                               f"--chmod={chmod}" if chmod else "") if flag]  # fmt: skip
    shown = [name, *flags, *sources, *(f"<<{file.name}" for file in item.files), target]
    state.record(" ".join(shown), layer=True, suffix=True)


def _is_directory(target: str) -> bool:
    return target.endswith(("/", "/.", "/..")) or target in (".", "..")


def _place(state: StageState, target: str) -> str:
    """Absolute; with a slash at its end where it must be a directory."""
    place = resolve_workdir(state.config.working_dir, target or ".")
    return place.rstrip("/") + "/" if _is_directory(target) or not target else place


def _check_checksum(item: Copy, sources: list[str], checksum: str) -> None:
    if not checksum:
        return
    if len(sources) != 1:
        raise Invalid("checksum can't be specified for multiple sources")
    if not _is_http(sources[0]) and git_source(sources[0]) is None:
        raise Invalid("checksum requires HTTP(S) or Git sources")


def _is_http(path: str) -> bool:
    return path.startswith(("http://", "https://")) and git_source(path) is None


def _action(
    state: StageState,
    item: Copy,
    path: str,
    source: Vertex | None,
    inputs: list[Vertex | None],
    place: str,
    chown: str,
    chmod: str,
    checksum: str,
) -> FileAction:
    git = git_source(path, item.keep_git, checksum)
    if git is not None:
        if not item.add:
            raise Invalid("source can't be a git ref for COPY")
        inputs.append(_source(state, item, git, f"[git] {git.url}"))
        return CopyFiles(len(inputs), ("/",), place, chown, chmod, item.excludes)
    if _is_http(path):
        if not item.add:
            raise Invalid("source can't be a URL for COPY")
        if checksum:
            Digest.parse(checksum)
        file = posixpath.basename(urlsplit(path).path) or UNNAMED
        inputs.append(_source(state, item, HttpSource(path, file, checksum), f"[http] {path}"))
        return CopyFiles(len(inputs), ("/" + file,), place, chown, chmod, unpack=bool(item.unpack))
    if source is None:
        raise Invalid(f"{go_quote(posixpath.normpath('/' + path))}: not found")
    _check_ignored(state, item, path)
    inputs.append(source)
    pivot, dot, pattern = path.partition("/./")
    wanted = (posixpath.normpath("/" + pivot) + "/./" + pattern) if item.parents and dot else path
    return CopyFiles(
        len(inputs),
        (wanted if item.parents and dot else _clean(path),),
        place,
        chown,
        chmod,
        item.excludes,
        item.parents,
        unpack=item.add if item.unpack is None else item.unpack,
        zero_owner=not item.origin,
        may_be_empty=bool(_WILD.search(path)),
    )


def _source(state: StageState, item: Copy, op: GitSource | HttpSource, title: str) -> Vertex:
    return Vertex(op, (), title, build=state.options.build, lines=(item.lines.first, item.lines.last))


def _clean(path: str) -> str:
    """From the root of the tree; `..` leads nowhere above it."""
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _check_ignored(state: StageState, item: Copy, path: str) -> None:
    if item.origin or not state.options.ignore:
        return
    rules = IgnoreRules(state.options.ignore)
    clean = _clean(path).lstrip("/")
    if rules.has_exceptions:
        return
    if not clean:
        if not any(pattern.text in ("*", "**", "**/*") for pattern in rules.patterns):
            return
        clean = "."
    if clean == "." or rules.ignored(clean):
        verb = "Add" if item.add else "Copy"
        message = f"Attempting to {verb} file {go_quote(clean)} that is excluded by .dockerignore"
        state.checks.report("CopyIgnoredFile", message, item.lines, item.comments)
