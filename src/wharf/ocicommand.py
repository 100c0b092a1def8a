"""`wharf-runtime`: the runtime as a command of its own, with the verbs of the OCI runtime command line."""

import json
import sys

from wharf import __version__
from wharf.kernel.caps import NAMES
from wharf.kernel.namespaces import FLAG_OF_TYPE
from wharf.runtime.rootfs import known_options

OCI_VERSION = "1.2.0"
_VERBS = (
    "create",
    "start",
    "state",
    "kill",
    "delete",
    "run",
    "exec",
    "pause",
    "resume",
    "list",
    "ps",
    "update",
    "events",
)
_USAGE = f"""usage: wharf-runtime [--version] [--help] COMMAND

  features   what this runtime supports, as JSON (OCI runtime specification, features.md)
  spec       a config.json to start from, on standard output

not there yet: {", ".join(_VERBS)}
"""


def features() -> dict[str, object]:
    """The document of features.md."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "mountOptions": known_options(),
        "linux": {
            "namespaces": sorted(kind for kind in FLAG_OF_TYPE if kind != "user"),
            "capabilities": list(NAMES),
            "cgroup": {"v1": True, "v2": True, "systemd": False},
            "seccomp": {"enabled": True},
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
        },
    }


def example() -> dict[str, object]:
    """A small config.json."""
    caps = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "wharf",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]},
    }


def main() -> None:
    """The command's entry point."""
    arguments = sys.argv[1:]
    verb = arguments[0] if arguments else "--help"
    if verb in ("--version", "-v", "version"):
        print(f"wharf-runtime version {__version__}\nspec: {OCI_VERSION}")
    elif verb in ("--help", "-h", "help"):
        print(_USAGE, end="")
    elif verb == "features":
        print(json.dumps(features(), indent=2))
    elif verb == "spec":
        print(json.dumps(example(), indent=2))
    else:
        known = "is not there yet" if verb in _VERBS else "is not a command of it"
        sys.exit(f"wharf-runtime: {verb} {known}; see wharf-runtime --help")
