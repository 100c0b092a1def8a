"""`wharf run` and `wharf create`."""

from __future__ import annotations

import os

from wharf.cli.attachment import Attachment
from wharf.cli.create_body import build
from wharf.cli.flags import ANY, Command
from wharf.cli.proxies import proxy_variables
from wharf.cli.run_flags import CHECKS, FLAGS, RUN_FLAGS
from wharf.cli.session import ExitWith, Session
from wharf.client.http import ApiError
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUN = Command(
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    FLAGS + RUN_FLAGS,
    operands=(1, ANY),
    interspersed=False,
    checks=CHECKS,
    example="wharf run --rm -it -p 8080:80 -v data:/data busybox sh",
    aliases="wharf container run, wharf run",
)
CREATE = Command(
    "create",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    FLAGS,
    operands=(1, ANY),
    interspersed=False,
    checks=CHECKS,
    example="wharf create --name web -p 8080:80 busybox httpd -f",
    aliases="wharf container create, wharf create",
)
_NOT_FOUND = ("executable file not found", "no such file or directory", "system cannot find the file specified")
_NOT_EXECUTABLE = ("permission denied", "is a directory")


def run(session: Session, args: list[str]) -> int:
    """Creates, starts and, unless detached, stays attached; the exit status is the container's."""
    flags, (image, *command) = RUN.parse(args)
    detached = flags.get("detach", False)
    if detached and flags.get("attach"):
        raise ExitWith("conflicting options: cannot specify both --attach and --detach")
    body = _body(session, RUN, flags, (image, *command))
    if body["AttachStdin"] and body["Tty"] and not os.isatty(0):
        raise ExitWith("the input device is not a TTY")
    try:
        container = _create(session, flags, body)
        if detached:
            session.client().post(f"/containers/{container}/start")
            session.line(container)
            return 0
        return _attached(session, flags, body, container)
    except ApiError as error:
        raise _failure(session, error) from None


def create(session: Session, args: list[str]) -> int:
    """Creates a container and prints its id."""
    flags, (image, *command) = CREATE.parse(args)
    body = _body(session, CREATE, flags, (image, *command))
    session.line(_create(session, flags, body))
    return 0


def _body(session: Session, verb: Command, flags: dict[str, Any], operands: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = build(flags, operands[0], list(operands[1:]))
        given = [text.partition("=")[0] for text in body["Env"] or ()]
        proxies = [f"{name}={value}" for name, value in proxy_variables(session, given).items()]
        return {**body, "Env": [*(body["Env"] or ()), *proxies]} if proxies else body
    except Invalid as error:
        raise ExitWith(f"wharf: {error.message}\n\nRun 'wharf {verb.name} --help' for more information", 125) from None


def _failure(session: Session, error: ApiError) -> ExitWith:
    """The exit status that docker derives from the daemon's words: 127 not found, 126 not executable, else 125."""
    text = error.message
    status = 125
    if any(words in text for words in _NOT_FOUND):
        status = 127
    elif any(words in text for words in _NOT_EXECUTABLE):
        status = 126
    return ExitWith(f"wharf: {session.words(error)}\n\nRun 'wharf run --help' for more information", status)


def _create(session: Session, flags: dict[str, Any], body: dict[str, Any]) -> str:
    """Creates the container, pulling its image when it is missing; its id, also in --cidfile."""
    pull = flags.get("pull", "missing")
    if pull not in ("always", "missing", "never"):
        raise ExitWith(f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"', 125)
    id_file = _IdFile(flags.get("cidfile", ""))
    credentials = ""
    if flags.get("use-api-socket"):
        from wharf.cli.api_socket import prepare

        credentials = prepare(session, body)
    if pull == "always":
        _pull(session, flags, body["Image"])
    try:
        answer = _post_create(session, flags, body)
    except ApiError as error:
        if error.status != 404 or pull != "missing" or "No such image" not in error.message:
            raise
        from wharf.cli.references import with_tag

        if not flags.get("quiet"):
            session.complain(f"Unable to find image '{with_tag(body['Image'])}' locally")
        _pull(session, flags, body["Image"])
        answer = _post_create(session, flags, body)
    for warning in answer.get("Warnings") or []:
        session.complain(f"WARNING: {warning}")
    if credentials:
        from wharf.cli.api_socket import give_credentials

        give_credentials(session, answer["Id"], credentials)
    id_file.write(answer["Id"])
    return str(answer["Id"])


def _post_create(session: Session, flags: dict[str, Any], body: dict[str, Any]) -> Any:
    from wharf.client.api import query

    parameters = query({"name": flags.get("name", ""), "platform": flags.get("platform", "")})
    return session.client().post("/containers/create" + parameters, body)


def _pull(session: Session, flags: dict[str, Any], image: str) -> None:
    from wharf.cli.progress import pull

    pull(session, image, flags.get("platform", ""), quiet=flags.get("quiet", False))


class _IdFile:
    """`--cidfile`: refused when it exists, written once the id is known."""

    def __init__(self, path: str) -> None:
        self._path = path
        if path and os.path.exists(path):
            raise ExitWith(
                f"wharf: container ID file found, make sure the other container isn't running or delete {path}\n\n"
                "Run 'wharf run --help' for more information",
                125,
            )

    def write(self, container: str) -> None:
        if not self._path:
            return
        try:
            with open(self._path, "x") as file:
                file.write(container)
        except OSError as error:
            raise ExitWith(f"failed to create the container ID file: {error}", 125) from None


def _attached(session: Session, flags: dict[str, Any], body: dict[str, Any], container: str) -> int:
    client = session.client()
    attachment = Attachment(
        client,
        container,
        tty=body["Tty"],
        stdin=body["AttachStdin"],
        stdout=body["AttachStdout"],
        stderr=body["AttachStderr"],
        detach_keys=flags.get("detach-keys", ""),
    )
    condition = "removed" if flags.get("rm") else "next-exit"
    with attachment, attachment.waiting(condition) as waiter:
        if flags.get("sig-proxy", True):
            from wharf.cli.signals import forward

            forward(client, container)
        try:
            client.post(f"/containers/{container}/start")
        except ApiError:
            if flags.get("rm"):
                waiter.status()
            raise
        return 0 if attachment.pump() else waiter.status()
