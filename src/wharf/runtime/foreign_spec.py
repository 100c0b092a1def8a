"""config.json for another runtime, from the specification that our own carries out. Pure.

What only the helper knows (user, namespaces by path, the root's path) is put in by `runtime/foreign.py`.
"""

import copy
from collections.abc import Sequence
from typing import Any

Spec = dict[str, Any]


def bundle_config(spec: Spec, cgroup: str, rules: Spec | None) -> Spec:
    """A copy of `spec` with the cgroup's path and the seccomp `rules` (`linux.seccomp`) that runtimes take."""
    config = copy.deepcopy(spec)
    linux = config["linux"]
    if cgroup:
        linux["cgroupsPath"] = _systemd_path(cgroup) if _is_scope(cgroup) else cgroup
    if rules:
        linux["seccomp"] = rules
    if not linux.get("rootfsPropagation"):
        linux.pop("rootfsPropagation", None)
    resources = linux.get("resources") or {}
    if "devices" in resources:
        resources["devices"] = [rule for rule in resources["devices"] if not _any_node(rule)]
    for item in config["mounts"]:  # runtimes add the mount label of `linux` themselves
        item["options"] = [word for word in item.get("options") or () if not word.startswith("context=")]
    for limit in (config.get("process") or {}).get("rlimits") or ():  # the kernel's RLIM_INFINITY, not ours of -1
        limit.update({key: limit[key] % (1 << 64) for key in ("soft", "hard")})
    kinds = {item["type"] for item in linux["namespaces"]}
    if "uts" not in kinds:  # runtimes refuse to name the host
        config.pop("hostname", None)
        config.pop("domainname", None)
    return config


def runtime_command(runtime: Sequence[str], cgroup: str) -> list[str]:
    """The runtime with what it must be told before any verb: that systemd makes the container's cgroup."""
    return [*runtime, "--systemd-cgroup"] if runtime and _is_scope(cgroup) else list(runtime)


def _is_scope(cgroup: str) -> bool:
    return cgroup.endswith(".scope")


def _systemd_path(cgroup: str) -> str:
    """`slice:prefix:name` for the scope `prefix-name.scope`, as runtimes want it from the systemd driver."""
    *_, parent, unit = ["-.slice", *cgroup.strip("/").split("/")]
    prefix, _, name = unit.removesuffix(".scope").rpartition("-")
    return f"{parent}:{prefix}:{name}"


def _any_node(rule: Spec) -> bool:
    """`allow c *:* m`: runtimes add that themselves, behind ours, and refuse an exception from it."""
    return bool(rule.get("allow")) and rule.get("access") == "m" and rule.get("major") is None
