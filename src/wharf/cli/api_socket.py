"""`--use-api-socket`: the engine's own socket within a container, and with it the user's credentials.

The container's command lines find both where docker's look: the socket at /var/run/docker.sock, credentials in the
directory that DOCKER_CONFIG names. Who may use the socket is root on the host, whatever the container's other flags.
"""

from __future__ import annotations

import io
import tarfile

from wharf.cli.session import Session
from wharf.client.address import CREDENTIALS_INSIDE, DOCKER_SOCKET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def prepare(session: Session, body: dict[str, Any]) -> str:
    """Adds the socket to the body of a create; the config.json that the container is to get, "" for none.

    A container with a DOCKER_CONFIG of its own gets none, as with docker. Raises Invalid where a credential helper
    fails: before there is a container.
    """
    source = session.address().path or DOCKER_SOCKET
    mount = {"Type": "bind", "Source": source, "Target": DOCKER_SOCKET, "BindOptions": {}}
    host = body["HostConfig"]
    host["Mounts"] = [*(host.get("Mounts") or ()), mount]
    if any(variable.startswith("DOCKER_CONFIG=") for variable in body["Env"] or ()):
        return ""
    from wharf.cli.credentials import Credentials

    text = Credentials(session.config).alone()
    if text:
        body["Env"] = [*(body["Env"] or ()), f"DOCKER_CONFIG={CREDENTIALS_INSIDE}"]
    return text


def give_credentials(session: Session, container: str, text: str) -> None:
    """Writes what `prepare` gave into the container that was made since."""
    from wharf.client.api import query

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(f"{CREDENTIALS_INSIDE[1:]}/config.json")
        entry.mode, entry.size = 0o600, len(text.encode())
        tar.addfile(entry, io.BytesIO(text.encode()))
    client = session.client()
    path = f"/containers/{container}/archive" + query({"path": "/"})
    response = client.upload("PUT", path, [archive.getvalue()])
    response.read_all()
    client.release(response)
