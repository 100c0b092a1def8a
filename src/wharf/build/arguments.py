"""Build arguments: those that are there by themselves, those before the first FROM, and their values."""

from collections.abc import Iterable, Mapping

from wharf.build.options import EPOCH_ARG, PROXY_ARGS, LowerOptions
from wharf.dockerfile.instructions import Arg
from wharf.dockerfile.position import DockerfileError
from wharf.dockerfile.words import expand
from wharf.errors import Invalid
from wharf.spec.platform import Platform


def platform_arguments(options: LowerOptions, target: str) -> dict[str, str]:
    """BUILDPLATFORM, TARGETARCH and their kin; `target` is the name of the stage that is built."""
    found: dict[str, str] = {}
    for prefix, platform in (("BUILD", options.build_platform), ("TARGET", options.platform)):
        found |= _of_platform(prefix, platform)
    found["TARGETSTAGE"] = target or "default"
    return {key: options.build_args.get(key, value) for key, value in found.items()}


def _of_platform(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }


def global_arguments(
    known: Mapping[str, str], instructions: Iterable[Arg], given: Mapping[str, str], escape: str
) -> dict[str, str]:
    """Values of what stands before the first FROM, and of what is known by itself. Raises DockerfileError."""
    values = dict(known)
    for instruction in instructions:
        for argument in instruction.arguments:
            if argument.key in given:
                values[argument.key] = given[argument.key]
            elif argument.default is not None:
                try:
                    values[argument.key] = expand(argument.default, values, escape)
                except Invalid as error:
                    raise DockerfileError(error.message, instruction.lines) from None
    return values


def predefined_names() -> Iterable[str]:
    """Arguments that every Dockerfile may be given without declaring them."""
    yield EPOCH_ARG
    for name in PROXY_ARGS:
        yield name
        yield name.lower()
    for name in ("DOCKERFILE_CHECK", "INLINE_CACHE", "SYNTAX", "SANDBOX_HOSTNAME", "CACHE_MOUNT_NS",
                 "CONTEXT_KEEP_GIT_DIR", "MULTI_PLATFORM", "BUILD_NAME", "HISTORY_PROVENANCE_V1"):  # fmt: skip
        yield "BUILDKIT_" + name
