"""The answer of `docker version`: which engine this is and what it is made of."""

import platform
from typing import TYPE_CHECKING, Any

from wharf import __version__
from wharf.spec.platform import of_machine

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def version_info(engine: "Engine", *, api_version: str, min_api_version: str) -> dict[str, Any]:
    """Docker's version document. `Version` is Wharf's own; clients choose what they send by `ApiVersion`."""
    host = engine.host
    common = {
        "ApiVersion": api_version,
        "MinAPIVersion": min_api_version,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": of_machine(host.machine).architecture,
        "KernelVersion": host.kernel_release,
        "BuildTime": "",
    }
    python = f"{platform.python_implementation()} {platform.python_version()}"
    details = {**common, "Experimental": "false", "PythonVersion": python}
    return {
        "Platform": {"Name": "Wharf"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        **common,
    }
