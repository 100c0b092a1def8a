"""What a client says about mounts, parsed: `Binds`, `Mounts`, `Volumes`, `Tmpfs` -> mount points with their requests.

Pure: nothing is looked up but whether the source of a `--mount type=bind` exists.
"""

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, replace

from wharf.engine.bind_id_maps import id_map_of, is_id_map, parse_id_map
from wharf.errors import Internal, Invalid
from wharf.spec.container import (
    BindOptions,
    ContainerConfig,
    HostConfig,
    ImageOptions,
    MountPoint,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
)
from wharf.spec.digest import Digest
from wharf.spec.quote import go_quote
from wharf.spec.volume import LOCAL_DRIVER, check_volume_name

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CLASSES = (("ro", "rw"), ("z", "Z"), ("nocopy",), PROPAGATIONS, ("consistent", "cached", "delegated", "default"))
_MAX_MOUNTS = 10000
_TMPFS_VALUES = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"))
_TMPFS_WORDS = frozenset(
    """
    defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime
    nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime
    strictatime nostrictatime
    """.split()  # noqa: SIM905
)


_TMPFS_OPTIONS = ("exec", "noexec")
"""What `TmpfsOptions.Options` may hold."""


@dataclass(slots=True)
class Planned:
    """A mount of the container to be: what inspect will show, and what start needs besides."""

    point: MountPoint
    request: MountRequest
    anonymous: bool = False
    asked_propagation: bool = False
    """Whether the client named the propagation."""
    layers: Digest | None = None
    """Of an image mount: the snapshot that it shows; None for an image without layers."""


def plan_mounts(
    config: ContainerConfig,
    host: HostConfig,
    inherited: Iterable[Planned],
    data_root: str = "",
    flat_read_only: bool = False,
) -> list[Planned]:
    """All mounts by destination. Own ones replace `inherited` (--volumes-from); raises in Docker's words.

    `data_root`: binds that show it follow the host's mounts, so that none of the engine's stays busy in there.
    `flat_read_only`: as CreateRequest has it.
    """
    own: dict[str, Planned] = {}
    for text in host.binds or ():
        item = parse_bind(text, host.volume_driver)
        _add(own, item, item.point.destination)
    for request in host.mounts or ():
        _add(own, parse_mount(request), request.target)
    for item in own.values():
        if item.point.type == "bind":
            _follow_data_root(item, data_root)
            if flat_read_only and not item.point.rw:
                _keep_flat(item)
    for target, options in (host.tmpfs or {}).items():
        place = _clean(target)
        _check_tmpfs(target, options)
        if place in own and own[place].point.type not in ("tmpfs", "image"):  # it lies over an image, as in Docker
            raise Invalid(f"Duplicate mount point: {place}")
    if len(own) > _MAX_MOUNTS:
        raise Invalid(f"too many mounts: more than {_MAX_MOUNTS}")
    result = {item.point.destination: item for item in inherited}
    result.update(own)
    in_memory = {_clean(item) for item in host.tmpfs or {}}
    for target in sorted(config.volumes or {}):
        place = _clean(target) if target.startswith("/") else posixpath.normpath(target)  # anything goes, as in Docker
        if place not in result and place not in in_memory:
            point = MountPoint("volume", "", "", place, LOCAL_DRIVER)
            result[place] = Planned(point, MountRequest("volume", "", place), anonymous=True)
    return list(result.values())


def _check_tmpfs(target: str, options: str) -> None:
    """One entry of `HostConfig.Tmpfs`; raises Invalid in Docker's words."""
    if not target.startswith("/"):
        raise Invalid(f"invalid mount path: '{target[:300]}' mount path must be absolute")
    if target.rstrip("/") == "":
        raise Invalid("invalid specification: destination can't be '/'")
    for option in options.split(",") if options else ():
        key, equals, _ = option.partition("=")
        if key not in (_TMPFS_VALUES if equals else _TMPFS_WORDS):
            raise Invalid(f'invalid tmpfs option "{option[:100]}"')


def _add(own: dict[str, Planned], item: Planned, given: str) -> None:
    if item.point.destination in own:
        raise Invalid(f"Duplicate mount point: {given[:300]}")
    own[item.point.destination] = item


def _keep_flat(item: Planned) -> None:
    if item.request.bind_options is None:  # a request of its own: inspect shows what was asked for
        item.request = replace(item.request, bind_options=BindOptions())
        assert item.request.bind_options is not None
    item.request.bind_options.read_only_non_recursive = True


def _follow_data_root(item: Planned, data_root: str) -> None:
    source = item.point.source
    if not data_root or not (below(data_root, source) or below(source, data_root)):
        return
    asked = item.request.bind_options.propagation if item.asked_propagation and item.request.bind_options else ""
    if asked in ("", "rslave", "rshared"):
        item.point.propagation = asked or "rslave"
        return
    raise Invalid(
        'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the '
        f"daemon root, daemon root: {go_quote(data_root)}, bind mount source: {go_quote(source[:300])}, propagation: "
        f"{go_quote(asked)}"
    )


def below(path: str, top: str) -> bool:
    """Whether a clean absolute path is `top` or lies beneath it."""
    return top == "/" or path == top or path.startswith(top + "/")


def _clean(path: str) -> str:
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _check_target(target: str, kind: str, given: str) -> None:
    if not given.startswith("/"):
        raise Invalid(
            f"invalid mount config for type \"{kind}\": invalid mount path: '{given[:300]}' mount path must be absolute"
        )
    if target == "/":
        raise Invalid(f"invalid mount config for type \"{kind}\": invalid specification: destination can't be '/'")


def parse_bind(text: str, volume_driver: str = "") -> Planned:
    """`source:target[:mode]` of -v; raises Internal, as Docker answers 500 here, with its words."""
    parts = text.split(":")
    if len(parts) == 1 and text:
        return _anonymous(text)
    if len(parts) not in (2, 3) or not parts[0] or not parts[1]:
        raise Internal(f"invalid volume specification: '{text[:500]}'")
    source, target = parts[0], parts[1]
    mode = parts[2] if len(parts) == 3 else ""
    words = _mode_words(mode)
    kind = "bind" if source.startswith("/") else "volume"
    read_only = "ro" in words
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    try:
        _check_target(_clean(target), kind, target)
        of_others = "nocopy" in words if kind == "bind" else propagation or id_map_of(mode)
        if of_others:
            field = "VolumeOptions" if kind == "bind" else "BindOptions"
            raise Invalid(f'invalid mount config for type "{kind}": field {field} must not be specified')
    except Invalid as error:
        raise Internal(f"invalid volume specification: '{text[:500]}': {error.message}") from None
    if kind == "bind":
        point = MountPoint("bind", "", posixpath.normpath(source), _clean(target), "", mode, not read_only)
        point.propagation = propagation or "rprivate"
        request = MountRequest("bind", point.source, point.destination, read_only)
        request.bind_options = BindOptions(propagation=propagation, create_mountpoint=True)
        return Planned(point, request, asked_propagation=bool(propagation))
    check_volume_name(source)
    point = MountPoint("volume", source, "", _clean(target), volume_driver or LOCAL_DRIVER, mode or "z", not read_only)
    request = MountRequest("volume", source, point.destination, read_only)
    request.volume_options = VolumeOptions(no_copy="nocopy" in words)
    return Planned(point, request)


def _anonymous(target: str) -> Planned:
    """A target alone: a volume of its own."""
    place = _clean(target)
    try:
        _check_target(place, "volume", target)
    except Invalid as error:
        raise Internal(f"invalid volume specification: '{target[:500]}': {error.message}") from None
    point = MountPoint("volume", "", "", place, LOCAL_DRIVER)
    return Planned(point, MountRequest("volume", "", place), anonymous=True)


def inherited_read_only(mode: str) -> bool:
    """What follows the name in --volumes-from; raises Invalid for what cannot be asked for there."""
    try:
        words = _mode_words(mode)
    except Internal as error:
        raise Invalid(error.message) from None
    if "nocopy" in words or id_map_of(mode) or any(word in PROPAGATIONS for word in words):
        raise Invalid(f"invalid mode: {mode[:100]}")
    return "ro" in words


def _mode_words(mode: str) -> list[str]:
    words = mode.split(",") if mode else []
    seen: set[int] = set()
    for word in words:
        if is_id_map(word):
            parse_id_map(word)
            group = len(_CLASSES)
        else:
            group = next((number for number, members in enumerate(_CLASSES) if word in members), -1)
        if group < 0 or group in seen:
            raise Internal(f"invalid mode: {mode[:100]}")
        seen.add(group)
    return words


def parse_mount(request: MountRequest) -> Planned:
    """One entry of `HostConfig.Mounts`; raises Invalid in Docker's words, the first that moby's parser would find."""
    kind = request.type
    if not request.target:
        raise Invalid(f'invalid mount config for type "{kind[:100]}": field Target must not be empty')
    _check_target(_clean(request.target), kind[:100], request.target)
    made = {"bind": _bind_mount, "volume": _volume_mount, "tmpfs": _tmpfs_mount, "image": _image_mount}
    if kind not in made:
        raise Invalid(f'invalid mount config for type "{kind[:100]}": mount type unknown')
    return made[kind](request)


def _refuse_options(request: MountRequest, *kinds: str) -> None:
    """Options of other types, those that moby's parser minds: clients of API 1.42 and later are told of them before."""
    given = {"bind": request.bind_options, "volume": request.volume_options, "image": request.image_options}
    for kind in kinds:
        if given[kind] is not None:
            field = f"{kind.capitalize()}Options"
            raise Invalid(f'invalid mount config for type "{request.type}": field {field} must not be specified')


def _bind_mount(request: MountRequest) -> Planned:
    head = 'invalid mount config for type "bind": '
    options = request.bind_options or BindOptions()
    if not request.source:
        raise Invalid(head + "field Source must not be empty")
    if options.propagation and options.propagation not in PROPAGATIONS:
        raise Invalid(head + f"invalid propagation mode: {options.propagation[:100]}")
    _refuse_options(request, "volume", "image")
    if not request.source.startswith("/"):
        raise Invalid(head + f"invalid mount path: '{request.source[:300]}' mount path must be absolute")
    if not options.create_mountpoint and not os.path.exists(request.source):
        raise Invalid(head + f"bind source path does not exist: {request.source}")
    propagation = options.propagation or "rprivate"
    point = MountPoint("bind", "", posixpath.normpath(request.source), _clean(request.target), "", "")
    point.rw, point.propagation = not request.read_only, propagation
    return Planned(point, request, asked_propagation=bool(options.propagation))


def _volume_mount(request: MountRequest) -> Planned:
    head = 'invalid mount config for type "volume": '
    _refuse_options(request, "bind", "image")
    options = request.volume_options or VolumeOptions()
    if options.subpath and not request.source:
        raise Invalid(head + "must not set Subpath when using anonymous volumes")
    if options.subpath and not _inside(options.subpath):
        raise Invalid(head + "subpath must be a relative path within the volume")
    if request.read_only and not request.source:
        raise Invalid(head + "must not set ReadOnly mode when using anonymous volumes")
    if request.source:
        check_volume_name(request.source)
    driver = options.driver_config.name if options.driver_config else ""
    point = MountPoint("volume", request.source, "", _clean(request.target), driver or LOCAL_DRIVER, "z")
    point.rw = not request.read_only
    return Planned(point, request, anonymous=not request.source)


def _image_mount(request: MountRequest) -> Planned:
    head = 'invalid mount config for type "image": '
    _refuse_options(request, "bind", "volume")
    if not request.source:
        raise Invalid(head + "field Source must not be empty")
    options = request.image_options or ImageOptions()
    if options.subpath and not _inside(options.subpath):
        raise Invalid(head + "subpath must be a relative path within the volume")
    point = MountPoint("image", request.source, "", _clean(request.target), "", "", rw=False, propagation="rprivate")
    return Planned(point, request)


def subpath_of(request: MountRequest) -> str:
    """The part of an image that a mount shows, "" for the whole."""
    given = request.image_options.subpath if request.image_options else ""
    path = posixpath.normpath(given) if given else ""
    return "" if path == "." else path


def _inside(subpath: str) -> bool:
    return not subpath.startswith("/") and posixpath.normpath(subpath).split("/")[0] != ".."


def _tmpfs_mount(request: MountRequest) -> Planned:
    head = 'invalid mount config for type "tmpfs": '
    _refuse_options(request, "bind", "image")
    if request.source:
        raise Invalid(head + "field Source must not be specified")
    for words in (request.tmpfs_options or TmpfsOptions()).options or ():
        if not 1 <= len(words) <= 2:
            raise Invalid(head + "invalid option array length")
        if words[0] not in _TMPFS_OPTIONS:
            raise Invalid(head + f"invalid option: {words[0][:100]}")
        if len(words) > 1:  # neither takes a value, which Docker says at the start
            raise Invalid(head + f'invalid tmpfs option "{words[0]}"')
    point = MountPoint("tmpfs", "", "", _clean(request.target), "", "")
    point.rw = not request.read_only
    return Planned(point, request)
