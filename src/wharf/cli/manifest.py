"""manifest inspect: what a registry has under a name."""

from __future__ import annotations

from wharf.cli.credentials import Credentials
from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import quote
from wharf.client.http import ApiError

INSPECT = Command(
    "manifest inspect",
    "[OPTIONS] MANIFEST",
    "Display an image manifest, or manifest list",
    (
        ("insecure", "", "bool", "Allow communication with an insecure registry (a setting of the daemon here)"),
        ("verbose", "v", "bool", "Output additional info including layers and platform"),
    ),
    operands=(1, 1),
    example="wharf manifest inspect busybox:latest",
)


def inspect(session: Session, args: list[str]) -> int:
    """Prints the document, indented as docker does it; the daemon asks the registry."""
    import json

    flags, (name,) = INSPECT.parse(args)
    if flags.get("verbose"):
        raise ExitWith("wharf: 'manifest inspect --verbose' is not there yet")
    if flags.get("insecure"):
        raise ExitWith("wharf: --insecure is not there: name the registry in wharfd's --insecure-registry")
    client = session.client()
    client.require_wharf("manifest inspect")
    path = f"/wharf/v1/distribution/{quote(name, '/:@')}/manifest"
    try:
        response = client.request("GET", path, headers=Credentials(session.config).header(name))
    except ApiError as error:
        if error.status == 404:
            raise ExitWith(f"no such manifest: {name}") from None
        raise
    session.line(json.dumps(json.loads(response.read_all()), indent="\t", ensure_ascii=False))
    return 0
