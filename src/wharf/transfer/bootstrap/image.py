"""From a name such as `busybox` or `debian:bookworm` to a tagged image."""

import datetime
import io
from collections.abc import Callable

from wharf.errors import Invalid
from wharf.spec.image import History, Image, ImageConfig
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.transfer.bootstrap.archive import fetch_release
from wharf.transfer.bootstrap.busybox import busybox_tar
from wharf.transfer.bootstrap.debian import debian_tar
from wharf.transfer.bootstrap.request import BootstrapRequest
from wharf.transfer.bootstrap.sources import (
    AptSource,
    check_mirror,
    check_suite,
    find_source,
    host_codename,
    host_sources,
)
from wharf.transfer.import_tar import import_tar
from wharf.transfer.store import ImageStore, parse_name

Tell = Callable[[str], None]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SUITE = "stable"
_ARCHITECTURES = {
    "amd64": "amd64",
    "arm64": "arm64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "arm": "armhf",
}


def bootstrap(store: ImageStore, request: BootstrapRequest, tell: Tell, scratch: str) -> ImageRecord:
    """Make the image; `tell` gets lines of progress, `scratch` is a directory for the tree in the making.

    Raises Invalid for a bad request, Unavailable or NotFound when the archive cannot be reached or believed.
    """
    kind, _, suite = request.what.partition(":")
    suite = check_suite(request.suite or suite or host_codename() or DEFAULT_SUITE)
    names = (parse_name(request.tag or (request.what if kind == "busybox" else f"debian:{suite}")),)
    if kind == "busybox":
        return _busybox(store, _source(request.mirror, suite), names, tell)
    if kind == "debian":
        return _debian(store, _source(request.mirror, suite), request, names, tell, scratch)
    raise Invalid(f"cannot bootstrap {request.what[:100]!r}: only busybox and debian:SUITE can be made")


def _busybox(store: ImageStore, source: AptSource, names: tuple[Reference, ...], tell: Tell) -> ImageRecord:
    tar, date = busybox_tar(source, _architecture(store), tell)
    tell("Making the image")
    return import_tar(store, io.BytesIO(tar), _image(store, ("sh",), date, "bootstrap busybox"), names)


def _debian(
    store: ImageStore,
    source: AptSource,
    request: BootstrapRequest,
    names: tuple[Reference, ...],
    tell: Tell,
    scratch: str,
) -> ImageRecord:
    tell(f"Reading {source.uri} {source.suite}")
    date = fetch_release(source).date
    extra = [] if request.mirror else _siblings(source.suite)
    image = _image(store, ("bash",), date, f"bootstrap debian:{source.suite}")
    with store.operations.operation(), debian_tar(source, extra, date, tell, scratch) as tar:
        return import_tar(store, tar, image, names)


def _source(mirror: str | None, suite: str) -> AptSource:
    if mirror:
        return AptSource(check_mirror(mirror), suite, ("main",))
    return find_source(host_sources(), suite)


def _siblings(suite: str) -> list[AptSource]:
    """The suite's updates and security fixes where the host's apt has them."""
    wanted = {f"{suite}-updates", f"{suite}-security"}
    return [item for item in host_sources() if item.suite in wanted and "main" in item.components]


def _architecture(store: ImageStore) -> str:
    name = store.platform.architecture
    if name not in _ARCHITECTURES:
        raise Invalid(f"no package archive is known for the architecture {name}")
    return _ARCHITECTURES[name]


def _image(store: ImageStore, command: tuple[str, ...], date: int, words: str) -> Image:
    created = datetime.datetime.fromtimestamp(date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Image(
        config=ImageConfig(env=(PATH,), cmd=command),
        diff_ids=(),
        platform=store.platform,
        created=created,
        history=(History(created=created, created_by=words),),
    )
