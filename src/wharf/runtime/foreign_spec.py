"""config.json for another runtime, from the specification that our own carries out. Pure.

What only the helper knows (user, namespaces by path, the root's path) is put in by `runtime/foreign.py`.
"""

import copy
from typing import Any

Spec = dict[str, Any]


def bundle_config(spec: Spec, cgroup: str, rules: Spec | None) -> Spec:
    """A copy of `spec` with the cgroup's path and the seccomp `rules` (`linux.seccomp`) that runtimes take."""
    config = copy.deepcopy(spec)
    linux = config["linux"]
    if cgroup:
        linux["cgroupsPath"] = cgroup
    if rules:
        linux["seccomp"] = rules
    if not linux.get("rootfsPropagation"):
        linux.pop("rootfsPropagation", None)
    resources = linux.get("resources") or {}
    if "devices" in resources:
        resources["devices"] = [rule for rule in resources["devices"] if not _any_node(rule)]
    kinds = {item["type"] for item in linux["namespaces"]}
    if "uts" not in kinds:  # runtimes refuse to name the host
        config.pop("hostname", None)
        config.pop("domainname", None)
    return config


def _any_node(rule: Spec) -> bool:
    """`allow c *:* m`: runtimes add that themselves, behind ours, and refuse an exception from it."""
    return bool(rule.get("allow")) and rule.get("access") == "m" and rule.get("major") is None
