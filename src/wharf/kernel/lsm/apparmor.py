"""AppArmor: the default profile of containers, made, loaded and put on (apparmor(7), apparmor_parser(8)).

The kernel takes profiles in a compiled form only, which the host's apparmor_parser writes.
"""

import os
import subprocess

PROFILE = "wharf-default"
UNCONFINED = "unconfined"
SECURITYFS = "/sys/kernel/security/apparmor"
PARSER = "/sbin/apparmor_parser"
LOAD_SECONDS = 60
_DENIED_WRITES = """
    /proc/* /proc/[^1-9s]*/** /proc/s[^y]*/** /proc/sy[^s]*/** /proc/sys?*/**
    /proc/sys/[^k]** /proc/sys/k[^e]** /proc/sys/kernel/[^s]** /proc/sys/kernel/s[^h]** /proc/sys/kernel/sh[^m]**
"""
"""In /proc all but what belongs to a process, and `kernel.shm*`, which belongs to an ipc namespace."""
_DENIED_CHANGES = """
    /sys/[^f]*/** /sys/f[^s]*/** /sys/fs/[^c]*/** /sys/fs/c[^g]*/** /sys/fs/cg[^r]*/**
"""
"""In /sys all but the cgroups."""
_DENIED = """
    /proc/sysrq-trigger /proc/kcore /proc/kmem /proc/mem /sys/firmware/** /sys/devices/virtual/powercap/**
    /sys/kernel/security/**
"""


class NotLoaded(Exception):
    """The default profile could not be loaded; the text says why."""


def default_profile(name: str = PROFILE) -> str:
    """The text of the default profile: files, network and capabilities as the other means leave them; no mounts,
    nothing of the host's in /proc and /sys, signals and ptrace among its own only (signals from runtimes that are
    confined themselves, too). What is denied is what Docker's default profile denies."""
    rules = ((_DENIED_WRITES, "w"), (_DENIED_CHANGES, "wklx"), (_DENIED, "rwklx"))
    denied = "\n".join(f"  deny {path} {rights}," for paths, rights in rules for path in paths.split())
    return f"""profile {name} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer={name},
  ptrace (trace,read,tracedby,readby) peer={name},
  deny mount,
{denied}
}}
"""


def is_loaded(name: str, root: str = SECURITYFS) -> bool:
    """Whether the kernel knows a profile; False where its list cannot be read."""
    try:
        with open(f"{root}/profiles", encoding="utf-8", errors="replace") as file:
            return any(line.rsplit(" (", 1)[0] == name for line in file.read().splitlines())
    except OSError:
        return False


def ensure_loaded(name: str = PROFILE, root: str = SECURITYFS, parser: str = PARSER) -> None:
    """Load the default profile under `name` unless it is there; raises NotLoaded."""
    if is_loaded(name, root):
        return
    if not os.access(parser, os.X_OK):
        raise NotLoaded(f"{parser} is not there: install apparmor")
    try:
        done = subprocess.run(
            [parser, "--replace", "--skip-cache"],
            input=default_profile(name).encode(),
            capture_output=True,
            timeout=LOAD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotLoaded(f"{parser}: {error}") from None
    if done.returncode != 0:
        raise NotLoaded(f"{parser}: {done.stderr.decode(errors='replace').strip()[:500]}")
