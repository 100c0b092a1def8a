"""A container's log: its options checked at create, and what they come to when it starts, in Docker's words.

Docker looks at the names of options at create and at most of their values only at start (jsonfilelog.go, logger.go).
Other than Docker's, a json-file log rotates unless told otherwise: DEFAULT_SIZE and DEFAULT_FILES.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wharf.engine.filters import MAX_PATTERN, name_pattern
from wharf.errors import Internal, Invalid, NotImplementedYet
from wharf.logdrivers.check import ELSEWHERE, LOCAL_DRIVERS, REMOTE_DRIVERS, check
from wharf.logdrivers.drivers import FAILED
from wharf.logdrivers.origin import Origin
from wharf.logdrivers.values import TRUE, parse_bool, parse_int, parse_size
from wharf.runtime.requests import LogSettings

if TYPE_CHECKING:
    from wharf.spec.container import ContainerRecord, LogConfig

DEFAULT_SIZE = 100 << 20
DEFAULT_FILES = 3
LOCAL_SIZE = 20 << 20
LOCAL_FILES = 5
"""Of the local driver and of the cache, as Docker's."""
MAX_FILES = 10_000
DEFAULT_BUFFER = 1 << 20
DEFAULT_TAG = "{{.ID}}"
"""Of the drivers that send."""
LOCAL_NAME = "local-logs/container.log"
CACHE_NAME = "container-cached.log"
_ACTION = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_TAG_FIELDS: dict[str, Callable[[ContainerRecord], str]] = {
    "ID": lambda record: record.id[:12],
    "FullID": lambda record: record.id,
    "Name": lambda record: record.name,
    "ImageID": lambda record: record.image_id.removeprefix("sha256:")[:12],
    "ImageFullID": lambda record: record.image_id,
    "ImageName": lambda record: record.config.image,
    "Command": lambda record: " ".join([record.path, *record.args]),
    "DaemonName": lambda record: "docker",
}


def check_log_config(log: LogConfig) -> None:
    """A container's log driver and options at create; raises Invalid, NotImplementedYet."""
    if log.type in ELSEWHERE:
        raise NotImplementedYet(f"the log driver {log.type} is not part of Wharf: fluentd ships to such services")
    check(log.type, log.config or {})


def log_settings(record: ContainerRecord, directory: str) -> LogSettings | None:
    """What the monitor writes: the log itself, or the cache of one that is sent away, from which `docker logs` reads
    and from which it is sent. None for no log. Raises Internal in Docker's words."""
    log = record.host_config.log_config
    options = log.config or {}
    try:
        if log.type == "json-file":
            size, count, compress = _json_sizes(options)
            path = f"{directory}/{record.id}-json.log"
            return LogSettings(path, size, count, log_attributes(record), "json", compress)
        if log.type == "local":
            size, count, compress = _local_sizes(options)
            return LogSettings(f"{directory}/{LOCAL_NAME}", size, count, {}, "local", compress)
        if log.type in REMOTE_DRIVERS:
            size, count, compress = _cache_sizes(options)
            path = f"{directory}/{CACHE_NAME}"
            return LogSettings(path, size, count, {}, "local", compress, not may_lose(log))
    except Invalid as error:
        raise Internal(FAILED + error.message) from None
    return None


def log_file(record: ContainerRecord, directory: str) -> tuple[str, str] | None:
    """Path and form of what `docker logs` reads; None where the driver does not support reading."""
    log = record.host_config.log_config
    if log.type == "json-file":
        return record.log_path or f"{directory}/{record.id}-json.log", "json"
    if log.type == "local":
        return f"{directory}/{LOCAL_NAME}", "local"
    if log.type in REMOTE_DRIVERS and (log.config or {}).get("cache-disabled", "") not in TRUE:
        return f"{directory}/{CACHE_NAME}", "local"
    return None


def may_lose(log: LogConfig) -> bool:
    """Whether the container goes on when the receiver lags: in non-blocking mode, and with fluentd-async."""
    options = log.config or {}
    return options.get("mode") == "non-blocking" or options.get("fluentd-async", "") in TRUE


def buffer_size(log: LogConfig) -> int | None:
    """Bytes that wait for the receiver in non-blocking mode before more is dropped; None in blocking mode."""
    options = log.config or {}
    if options.get("mode") != "non-blocking":
        return None
    return parse_size(options["max-buffer-size"]) if "max-buffer-size" in options else DEFAULT_BUFFER


def origin_of(record: ContainerRecord) -> Origin:
    """What drivers tell of the container. Raises Internal."""
    log = record.host_config.log_config
    options = log.config or {}
    extra = log_attributes(record)
    extra.pop("tag", None)
    return Origin(
        id=record.id,
        name=record.name,
        image_id=record.image_id,
        image_name=record.config.image,
        command=_TAG_FIELDS["Command"](record),
        created=record.created,
        hostname=socket.gethostname(),
        tag=_tag(options.get("tag", "") or DEFAULT_TAG, record),
        extra=extra,
        options=options,
    )


def is_remote(log: LogConfig) -> bool:
    """Whether the log is sent somewhere else."""
    return log.type not in LOCAL_DRIVERS


def _files(text: str) -> int:
    count = parse_int(text)
    if not 1 <= count <= MAX_FILES:
        raise Invalid(f"max-file cannot be {'less than 1' if count < 1 else f'above {MAX_FILES}'}")
    return count


def _json_sizes(options: Mapping[str, str]) -> tuple[int, int, bool]:
    """Largest size in bytes, number of files, whether they are compressed."""
    size = parse_size(options["max-size"]) if "max-size" in options else -1
    if size == 0:
        raise Invalid("max-size must be a positive number")
    count = _files(options["max-file"]) if "max-file" in options else 1
    compress = parse_bool(options["compress"]) if "compress" in options else False
    if compress and (count < 2 or size < 0):
        raise Invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    if size < 0:
        return DEFAULT_SIZE, count if "max-file" in options else DEFAULT_FILES, compress
    return size, count, compress


def _local_sizes(options: Mapping[str, str]) -> tuple[int, int, bool]:
    size, count, compress = LOCAL_SIZE, LOCAL_FILES, True
    for key in ("max-size", "max-file"):
        if key not in options:
            continue
        try:
            if key == "max-size":
                size = parse_size(options[key])
            else:
                count = parse_int(options[key])
        except Invalid as error:
            raise Invalid(f"invalid value for {key}: {options[key][:100]}: {error.message}") from None
    if "compress" in options:
        try:
            compress = parse_bool(options["compress"])
        except Invalid as error:
            raise Invalid(f"error reading compress log option: {error.message}") from None
    if compress and count < 2:
        raise Invalid("compression cannot be enabled when max file count is 1")
    if size <= 0 or not 1 <= count <= MAX_FILES:
        raise Invalid("max size and max file must be positive numbers")
    return size, count, compress


def _cache_sizes(options: Mapping[str, str]) -> tuple[int, int, bool]:
    """The cache never keeps a container from starting: a value that cannot be read is the default (as Docker's)."""
    names = {key: options[f"cache-{key}"] for key in ("max-size", "max-file", "compress") if f"cache-{key}" in options}
    if names.get("max-file") == "1":
        names.setdefault("compress", "false")
    try:
        return _local_sizes(names)
    except Invalid:
        return LOCAL_SIZE, LOCAL_FILES, True


def log_attributes(record: ContainerRecord) -> dict[str, str]:
    """What the options `labels`, `env`, their `-regex` forms and `tag` put into each line. Raises Internal."""
    options = record.host_config.log_config.config or {}
    labels = record.config.labels or {}
    env = dict(entry.partition("=")[::2] for entry in record.config.env or ())
    out: dict[str, str] = {}
    for kind, values in (("labels", labels), ("env", env)):
        out |= {key: values[key] for key in options.get(kind, "").split(",") if key in values}
        if pattern := options.get(f"{kind}-regex", ""):
            search = _pattern(pattern).search
            out |= {key: value for key, value in values.items() if search(key)}
    if tag := options.get("tag", ""):
        out["tag"] = _tag(tag, record)
    return out


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return name_pattern(text)
    except Invalid as error:
        raise Internal(f"{FAILED}error parsing regexp: {error.message.partition(': ')[2]}") from None


def _tag(text: str, record: ContainerRecord) -> str:
    """The tag's template with the fields that Docker documents; anything else in braces is refused by name."""
    rest = _ACTION.sub("", text)
    unknown = [name for name in _ACTION.findall(text) if name not in _TAG_FIELDS]
    if unknown or "{{" in rest or len(text) > MAX_PATTERN:
        raise Internal(f"{FAILED}template: log-tag: {(unknown or [text])[0][:100]}: not a field of a tag")
    return _ACTION.sub(lambda found: _TAG_FIELDS[found[1]](record), text)
