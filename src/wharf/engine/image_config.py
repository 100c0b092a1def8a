"""A container's configuration as an image's, and one merged over another: what commit (and build) store."""

from dataclasses import replace

from wharf.spec.container import ContainerConfig
from wharf.spec.image import HealthConfig, ImageConfig


def config_of_container(config: ContainerConfig) -> ImageConfig:
    """The part of a container's configuration that an image keeps."""
    health = config.healthcheck
    return ImageConfig(
        user=config.user,
        exposed_ports=tuple(sorted(config.exposed_ports or ())),
        env=tuple(config.env or ()),
        entrypoint=None if config.entrypoint is None else tuple(config.entrypoint),
        cmd=None if config.cmd is None else tuple(config.cmd),
        volumes=tuple(sorted(config.volumes or ())),
        working_dir=config.working_dir,
        labels=dict(config.labels or {}),
        stop_signal=config.stop_signal,
        stop_timeout=config.stop_timeout,
        healthcheck=None
        if health is None
        else HealthConfig(
            list(health.test or ()),
            health.interval,
            health.timeout,
            health.start_period,
            health.start_interval,
            health.retries,
        ),
        on_build=tuple(config.on_build or ()),
        shell=None if config.shell is None else tuple(config.shell),
        args_escaped=config.args_escaped,
    )


def merge_config(wanted: ImageConfig, base: ImageConfig) -> ImageConfig:
    """`wanted`, with what it leaves open taken from `base` (moby, daemon/commit.go, merge)."""
    cmd, entrypoint = wanted.cmd, wanted.entrypoint
    if not entrypoint:
        cmd = cmd or base.cmd
        entrypoint = base.entrypoint if entrypoint is None else entrypoint
    keys = {item.partition("=")[0] for item in wanted.env}
    return replace(
        wanted,
        user=wanted.user or base.user,
        exposed_ports=tuple(sorted({*wanted.exposed_ports, *base.exposed_ports})),
        env=(*wanted.env, *(item for item in base.env if item.partition("=")[0] not in keys)),
        labels={**base.labels, **wanted.labels},
        cmd=cmd,
        entrypoint=entrypoint,
        healthcheck=_merge_health(wanted.healthcheck, base.healthcheck),
        working_dir=wanted.working_dir or base.working_dir,
        volumes=tuple(sorted({*wanted.volumes, *base.volumes})),
        stop_signal=wanted.stop_signal or base.stop_signal,
    )


def _merge_health(wanted: HealthConfig | None, base: HealthConfig | None) -> HealthConfig | None:
    if wanted is None or base is None:
        return wanted or base
    return HealthConfig(
        wanted.test or base.test,
        wanted.interval or base.interval,
        wanted.timeout or base.timeout,
        wanted.start_period or base.start_period,
        wanted.start_interval or base.start_interval,
        wanted.retries or base.retries,
    )
