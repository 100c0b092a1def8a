"""`wharf image bootstrap`: a base image from the distribution's package archive, without any image registry."""

from wharf.cli import progress
from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session

COMMAND = Command(
    "image bootstrap",
    "[OPTIONS] busybox|debian:SUITE",
    "Make a base image from the distribution's package archive (its signature is verified)",
    (
        ("mirror", "", "string", "Package archive to use instead of the one that the host's apt knows"),
        ("quiet", "q", "bool", "Only print the image's ID"),
        ("tag", "t", "string", "Name of the image (default: what is made, e.g. debian:bookworm)"),
    ),
    operands=(1, 1),
    example="wharf image bootstrap debian:bookworm",
)


def bootstrap(session: Session, args: list[str]) -> int:
    """Makes the image on the server and shows its progress; the server must be Wharf."""
    flags, (what,) = COMMAND.parse(args)
    kind, _, suite = what.partition(":")
    if kind not in ("busybox", "debian") or (kind == "debian" and not suite):
        raise ExitWith(f"cannot bootstrap '{what}': give busybox or debian:SUITE (e.g. debian:bookworm)")
    client = session.client()
    client.require_wharf("image bootstrap")
    body = {"What": what, **{key: flags[key.lower()] for key in ("Mirror", "Tag") if flags.get(key.lower())}}
    response = client.request("POST", "/wharf/v1/bootstrap", body)
    for line in progress.texts(session, response):
        if line.startswith("sha256:"):
            session.line(line)
        elif not flags.get("quiet"):
            session.complain(line)
    return 0
