"""The JSON form of an image config (OCI image specification, config.md, and Docker's image spec 1.2)."""

from typing import Any

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import HealthConfig, History, Image, ImageConfig
from wharf.spec.platform import Platform

_KNOWN = {
    "architecture",
    "os",
    "variant",
    "created",
    "author",
    "config",
    "rootfs",
    "history",
    "docker_version",
    "comment",
}
# The container a legacy image was made from: dropped, as it describes a machine that is gone.
_DROPPED = {"container", "container_config"}


def _strings(raw: dict[str, Any], key: str) -> tuple[str, ...] | None:
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid(f"invalid image config: {key} is not a list of strings")
    return tuple(value)


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"invalid image config: {key} is not a string")
    return value


def _keys(raw: dict[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise Invalid(f"invalid image config: {key} is not an object")
    return tuple(sorted(value))


def _number(raw: dict[str, Any], key: str) -> int:
    value = raw.get(key) or 0
    if not isinstance(value, int):
        raise Invalid(f"invalid image config: {key} is not a number")
    return value


def health_from_json(raw: Any) -> HealthConfig | None:
    """Docker's Healthcheck object; None when absent."""
    if not isinstance(raw, dict):
        return None
    return HealthConfig(
        list(_strings(raw, "Test") or ()),
        *(_number(raw, key) for key in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")),
    )


def config_from_json(raw: Any) -> ImageConfig:
    """The `config` object; raises Invalid naming the field."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise Invalid("invalid image config: config is not an object")
    labels = raw.get("Labels") or {}
    if not isinstance(labels, dict):
        raise Invalid("invalid image config: Labels is not an object")
    return ImageConfig(
        user=_text(raw, "User"),
        exposed_ports=_keys(raw, "ExposedPorts"),
        env=_strings(raw, "Env") or (),
        entrypoint=_strings(raw, "Entrypoint"),
        cmd=_strings(raw, "Cmd"),
        volumes=_keys(raw, "Volumes"),
        working_dir=_text(raw, "WorkingDir"),
        labels={str(k): str(v) for k, v in labels.items()},
        stop_signal=_text(raw, "StopSignal"),
        stop_timeout=_number(raw, "StopTimeout") if raw.get("StopTimeout") is not None else None,
        healthcheck=health_from_json(raw.get("Healthcheck")),
        on_build=_strings(raw, "OnBuild") or (),
        shell=_strings(raw, "Shell"),
        args_escaped=bool(raw.get("ArgsEscaped")),
    )


def config_to_json(config: ImageConfig) -> dict[str, Any]:
    """The `config` object with empty fields left out."""
    out: dict[str, Any] = {}
    if config.user:
        out["User"] = config.user
    if config.exposed_ports:
        out["ExposedPorts"] = {port: {} for port in config.exposed_ports}
    if config.env:
        out["Env"] = list(config.env)
    if config.entrypoint is not None:
        out["Entrypoint"] = list(config.entrypoint)
    if config.cmd is not None:
        out["Cmd"] = list(config.cmd)
    if config.healthcheck is not None:
        out["Healthcheck"] = health_to_json(config.healthcheck)
    if config.args_escaped:
        out["ArgsEscaped"] = True
    if config.volumes:
        out["Volumes"] = {path: {} for path in config.volumes}
    if config.working_dir:
        out["WorkingDir"] = config.working_dir
    if config.labels:
        out["Labels"] = dict(sorted(config.labels.items()))
    if config.stop_signal:
        out["StopSignal"] = config.stop_signal
    if config.stop_timeout is not None:
        out["StopTimeout"] = config.stop_timeout
    if config.on_build:
        out["OnBuild"] = list(config.on_build)
    if config.shell is not None:
        out["Shell"] = list(config.shell)
    return out


def health_to_json(health: HealthConfig) -> dict[str, Any]:
    """Docker's Healthcheck object, zero fields left out."""
    pairs = {
        "Test": list(health.test), "Interval": health.interval, "Timeout": health.timeout,
        "StartPeriod": health.start_period, "StartInterval": health.start_interval, "Retries": health.retries,
    }  # fmt: skip
    return {key: value for key, value in pairs.items() if value}


def image_from_json(raw: dict[str, Any]) -> Image:
    """Raises Invalid naming the field."""
    rootfs = raw.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None:
        diff_ids = []
    if not isinstance(diff_ids, list):
        raise Invalid("invalid image config: rootfs.diff_ids is not a list")
    history = raw.get("history") or []
    if not isinstance(history, list) or not all(isinstance(line, dict) for line in history):
        raise Invalid("invalid image config: history is not a list of objects")
    return Image(
        config=config_from_json(raw.get("config")),
        diff_ids=tuple(Digest.parse(str(item)) for item in diff_ids),
        platform=Platform(_text(raw, "os") or "linux", _text(raw, "architecture") or "amd64", _text(raw, "variant")),
        created=_text(raw, "created"),
        author=_text(raw, "author"),
        history=tuple(_history(line) for line in history),
        docker_version=_text(raw, "docker_version"),
        comment=_text(raw, "comment"),
        extra={key: value for key, value in raw.items() if key not in _KNOWN and key not in _DROPPED},
    )


def _history(line: dict[str, Any]) -> History:
    created, created_by, author, comment = (_text(line, key) for key in ("created", "created_by", "author", "comment"))
    return History(created, created_by, author, comment, bool(line.get("empty_layer")))


def image_to_json(image: Image) -> dict[str, Any]:
    """The whole config document, keys in a fixed order."""
    out: dict[str, Any] = {"architecture": image.platform.architecture, "os": image.platform.os}
    if image.platform.variant:
        out["variant"] = image.platform.variant
    for key, value in (("created", image.created), ("author", image.author), ("comment", image.comment)):
        if value:
            out[key] = value
    if image.docker_version:
        out["docker_version"] = image.docker_version
    out["config"] = config_to_json(image.config)
    out["rootfs"] = {"type": "layers", "diff_ids": [str(item) for item in image.diff_ids]}
    if image.history:
        out["history"] = [_history_to_json(line) for line in image.history]
    out.update(image.extra)
    return out


def _history_to_json(line: History) -> dict[str, Any]:
    pairs = {
        "created": line.created, "created_by": line.created_by, "author": line.author,
        "comment": line.comment, "empty_layer": line.empty_layer,
    }  # fmt: skip
    return {key: value for key, value in pairs.items() if value}
