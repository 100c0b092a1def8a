"""Contexts beside the client's main one (`wharf build --build-context NAME=…`): an image, a file behind a URL, a
repository, a directory of the client's. A name stands for a stage and for an image of that name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wharf.build.contexts import Contexts, read_beneath
from wharf.build.kept import KeptContexts
from wharf.build.layouts import OCI_LAYOUT, Layout
from wharf.build.lock import SourceLock
from wharf.build.options import NamedContext, context_name
from wharf.build.request import BuildRequest
from wharf.build.tree import Tree
from wharf.dockerfile.ignore import read_ignore
from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.reference import Reference

IMAGE = "docker-image://"
SENT = "sent:"
"""Before the id of a directory that was sent ahead (`KeptContexts.receive_ahead`)."""
MAX_CONTEXTS = 64
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://")


def check_contexts(raw: Mapping[str, str]) -> dict[str, str]:
    """What a client says, by the names as they are compared. Raises Invalid."""
    if len(raw) > MAX_CONTEXTS:
        raise Invalid(f"more than {MAX_CONTEXTS} named contexts")
    found = {}
    for name, where in raw.items():
        if where.startswith(IMAGE):
            Reference.parse(where.removeprefix(IMAGE))
        elif where.startswith(OCI_LAYOUT):
            _layout_of(where)
        elif not where.startswith((SENT, *_REMOTE)):
            raise Invalid(f"unsupported context source {where[:200]!r} for {name[:200]}")
        found[context_name(name)] = where
    return found


def _layout_of(where: str) -> tuple[str, Digest]:
    """The id of a layout that was sent ahead, and the image in it. Raises Invalid."""
    number, _, digest = where.removeprefix(OCI_LAYOUT).partition("@")
    return number, Digest.parse(digest)


@contextlib.contextmanager
def opened(contexts: Contexts, kept: KeptContexts, wanted: BuildRequest, lock: SourceLock) -> Iterator[BuildRequest]:
    """The request with the files of its named contexts, there within the `with`. Raises WharfError."""
    named: dict[str, NamedContext] = {}
    trees: dict[str, Tree] = {}
    layouts: dict[str, Layout] = {}
    with contextlib.ExitStack() as stack:
        for name, where in wanted.named.items():
            if where.startswith(IMAGE):
                named[name] = NamedContext(image=where.removeprefix(IMAGE))
                continue
            if where.startswith(OCI_LAYOUT):
                number, digest = _layout_of(where)
                reference = f"{OCI_LAYOUT}{name}@{digest}"
                layouts[reference] = Layout(stack.enter_context(kept.sent(number)).directory, digest)
                named[name] = NamedContext(image=reference)
                continue
            if where.startswith(SENT):
                tree = stack.enter_context(kept.sent(where.removeprefix(SENT)))
            else:
                tree = stack.enter_context(contexts.named(where, lock, wanted))
            local = f"named:{name}"
            text = read_beneath(tree.directory, ".dockerignore")
            trees[local] = replace(tree, ignore=read_ignore(text) if text else ())
            named[name] = NamedContext(local=local)
        yield replace(wanted, contexts=trees, layouts=layouts, options=replace(wanted.options, contexts=named))
