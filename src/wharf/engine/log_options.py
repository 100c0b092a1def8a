"""Options of a container's log: checked when it is created, read when it starts; both as Docker's json-file driver.

Docker looks at the names of options at create and at most of their values only at start (jsonfilelog.go, logger.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wharf.engine.filters import MAX_PATTERN, name_pattern
from wharf.engine.validate import parse_size
from wharf.errors import Internal, Invalid, NotImplementedYet

if TYPE_CHECKING:
    from wharf.spec.container import ContainerRecord, LogConfig

JSON_FILE_OPTIONS = frozenset(
    ["max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag", "mode", "max-buffer-size"]
)
KNOWN_DRIVERS = frozenset(["awslogs", "fluentd", "gcplogs", "gelf", "journald", "local", "splunk", "syslog", "etwlogs"])
MAX_FILES = 10_000
_FAILED = "failed to create task for container: failed to initialize logging driver: "
_ACTION = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_TAG_FIELDS: dict[str, Callable[[ContainerRecord], str]] = {
    "ID": lambda record: record.id[:12],
    "FullID": lambda record: record.id,
    "Name": lambda record: record.name,
    "ImageID": lambda record: record.image_id.removeprefix("sha256:")[:12],
    "ImageFullID": lambda record: record.image_id,
    "ImageName": lambda record: record.config.image,
    "DaemonName": lambda record: "docker",
}


def check_log_config(log: LogConfig) -> None:
    """A container's log driver and options at create; raises Invalid, NotImplementedYet."""
    if log.type == "none":
        return
    if log.type != "json-file":
        if log.type in KNOWN_DRIVERS:
            raise NotImplementedYet(f"the log driver {log.type} is not there yet: json-file and none are")
        name = log.type[:100]
        raise Invalid(f'error looking up logging plugin {name}: plugin "{name}" not found')
    options = log.config or {}
    _check_mode(options)
    for key in sorted(options):
        if key not in JSON_FILE_OPTIONS:
            raise Invalid(f"unknown log opt '{key[:100]}' for json-file log driver")
    if _true(options.get("compress", "")) and options.get("max-file", "1") != "1" and "max-size" in options:
        raise NotImplementedYet("log option compress is not there yet")


def _check_mode(options: dict[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode[:100]}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            parse_size(options["max-buffer-size"])
        except Invalid as error:
            raise Invalid(f"error parsing option max-buffer-size: {error.message}") from None


def _true(text: str) -> bool:
    return text in ("1", "t", "T", "true", "TRUE", "True")


def log_sizes(log: LogConfig) -> tuple[int, int]:
    """Largest size in bytes (-1: none) and number of files; raises Internal, for the container starts now."""
    options = log.config or {}
    try:
        size = parse_size(options["max-size"]) if "max-size" in options else -1
    except Invalid as error:
        raise Internal(_FAILED + error.message) from None
    text = options.get("max-file", "1")
    if not text.lstrip("+-").isdecimal() or len(text) > 10:
        raise Internal(f'{_FAILED}strconv.Atoi: parsing "{text[:50]}": invalid syntax')
    if not 1 <= int(text) <= MAX_FILES:
        raise Internal(f"{_FAILED}max-file cannot be {'less than 1' if int(text) < 1 else f'above {MAX_FILES}'}")
    if _true(options.get("compress", "")) and (int(text) < 2 or size < 0):
        raise Internal(_FAILED + "compress cannot be true when max-file is less than 2 or max-size is not set")
    return size, int(text)


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
        raise Internal(f"{_FAILED}error parsing regexp: {error.message.partition(': ')[2]}") from None


def _tag(text: str, record: ContainerRecord) -> str:
    """The tag's template with the fields that Docker documents; anything else in braces is refused by name."""
    rest = _ACTION.sub("", text)
    unknown = [name for name in _ACTION.findall(text) if name not in _TAG_FIELDS]
    if unknown or "{{" in rest or len(text) > MAX_PATTERN:
        raise Internal(f"{_FAILED}template: log-tag: {(unknown or [text])[0][:100]}: not a field of a tag")
    return _ACTION.sub(lambda found: _TAG_FIELDS[found[1]](record), text)
