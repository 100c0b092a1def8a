"""What a process in a container may do: capability sets, the seccomp profile, the other security options."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wharf.errors import Internal, Invalid
from wharf.kernel.caps import NAMES
from wharf.kernel.lsm import apparmor
from wharf.spec.container import HostConfig
from wharf.spec.host import Host

_DEFAULT = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT
    KILL AUDIT_WRITE
"""
DEFAULT_CAPABILITIES = tuple(f"CAP_{name}" for name in _DEFAULT.split())
MAX_PROFILE = 4 << 20
UNCONFINED = "unconfined"
_JSON_STARTS = frozenset('{["-0123456789tfn')
_JSON_END = "unexpected end of JSON input"


@dataclass(frozen=True, slots=True)
class Security:
    """`profile` None is the default one; `confined` false: no filter at all."""

    confined: bool = True
    profile: dict[str, Any] | None = None
    no_new_privileges: bool = False
    writable_cgroups: bool = False
    apparmor: str = ""
    """The profile asked for; "" is the default."""


def normalise(names: Sequence[str] | None, what: str) -> list[str]:
    """`net_admin` -> `CAP_NET_ADMIN`; `ALL` stays. Raises Invalid for one that no kernel has."""
    out = []
    for name in names or ():
        upper = name.upper()
        if upper == "ALL":
            out.append(upper)
            continue
        full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
        if full not in NAMES:
            raise Invalid(f'invalid {what}: unknown capability: "{full[:100]}"')
        out.append(full)
    return out


def capabilities(host_config: HostConfig, last: int) -> list[str]:
    """The bounding set of a container; `last` is the highest capability of this kernel."""
    every = [name for number, name in enumerate(NAMES) if number <= last]
    if host_config.privileged:
        return every
    add = normalise(host_config.cap_add, "CapAdd")
    drop = normalise(host_config.cap_drop, "CapDrop")
    if "ALL" in add:
        base = every
    elif "ALL" in drop:
        base = []
    else:
        base = list(DEFAULT_CAPABILITIES)
    kept = [name for name in base if name not in drop]
    return kept + [name for name in add if name != "ALL" and name in every and name not in kept]


def read_profile(name: str) -> str:
    """The value of `--seccomp-profile` as text for `parse_options`; raises Invalid for a file that is no profile."""
    if name in ("", "builtin"):
        return ""
    if name == UNCONFINED:
        return name
    try:
        with open(name, encoding="utf-8") as file:
            text = file.read(MAX_PROFILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Invalid(f"opening seccomp profile ({name}) failed: {why.lower()}") from None
    _profile(text)
    return text


def parse_options(host_config: HostConfig, default_profile: str = "", no_new_privileges: bool = False) -> Security:
    """`HostConfig.SecurityOpt` over the daemon's defaults; raises Internal or Invalid in Docker's words."""
    confined = not host_config.privileged and default_profile != UNCONFINED
    profile = _profile(default_profile) if confined and default_profile else None
    no_new, cgroups, wanted = no_new_privileges, False, ""
    for text in host_config.security_opt or ():
        if text == "disable":  # the old word for label=disable
            continue
        key, value = _split(text)
        if key == "no-new-privileges":
            no_new = _flag(value, text)
        elif key == "writable-cgroups":
            cgroups = _flag(value, text)
        elif key == "seccomp":
            confined = value != UNCONFINED
            # Docker takes the word for a file's text where a container is privileged.
            builtin = value == "builtin" and not host_config.privileged
            profile = _profile(value) if confined and not builtin else None
        elif key == "apparmor":
            wanted = value
        elif key != "label":
            raise Internal(f'invalid --security-opt 2: "{text[:300]}"')
    return Security(confined, profile, no_new, cgroups, wanted)


def default_apparmor(host: Host, warn: Callable[[str], None]) -> str:
    """The profile of containers that name none; "" without AppArmor, `unconfined` and a warning without ours."""
    if not host.apparmor:
        return ""
    try:
        apparmor.ensure_loaded()
    except apparmor.NotLoaded as error:
        warn(f"AppArmor is on, but containers run unconfined: {apparmor.PROFILE} could not be loaded: {error}")
        return apparmor.UNCONFINED
    return apparmor.PROFILE


def apparmor_profile(security: Security, privileged: bool, default: str) -> str:
    """The profile of a container; "" where the host has no AppArmor (`default` is empty): Docker ignores it there."""
    if not default:
        return ""
    return security.apparmor or (apparmor.UNCONFINED if privileged else default)


def label_options(host_config: HostConfig) -> list[str]:
    """The values of `label=…` among the security options; a bare `disable` is one too."""
    pairs = (("label", text) if text == "disable" else _split(text) for text in host_config.security_opt or ())
    return [value for key, value in pairs if key == "label"]


def _split(text: str) -> tuple[str, str]:
    """The numbers in the messages are Docker's: 1 without a value, 2 for a key or value it does not know."""
    if text == "no-new-privileges":
        return text, "true"
    key, separator, value = text.partition("=")
    if not separator:
        key, separator, value = text.partition(":")
    if not separator:
        raise Internal(f'invalid --security-opt 1: "{text[:300]}"')
    return key, value


def _flag(value: str, text: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise Internal(f'invalid --security-opt 2: "{text[:300]}"')
    return value.lower() in ("true", "1", "t")


def _profile(text: str) -> dict[str, Any]:
    if len(text) > MAX_PROFILE:
        raise Invalid(f"seccomp profile of {len(text)} bytes exceeds {MAX_PROFILE}")
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        start = text.lstrip(" \t\r\n")[:1]
        words = str(error) if start in _JSON_STARTS else f"invalid character '{start}' looking for beginning of value"
        raise Invalid(f"Decoding seccomp profile failed: {words if start else _JSON_END}") from None
    if not isinstance(profile, dict):
        raise Invalid("Decoding seccomp profile failed: not a JSON object")
    return profile
