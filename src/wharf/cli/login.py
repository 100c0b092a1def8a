"""login and logout."""

from __future__ import annotations

import sys

from wharf.cli.credentials import HUB, Credentials, server_key
from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session

LOGIN = Command(
    "login",
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    (
        ("password", "p", "string", "Password or Personal Access Token (PAT)"),
        ("password-stdin", "", "bool", "Take the Password or Personal Access Token (PAT) from stdin"),
        ("username", "u", "string", "Username"),
    ),
    operands=(0, 1),
    example="wharf login -u me --password-stdin registry.example.com < password.txt",
)
LOGOUT = Command(
    "logout",
    "[SERVER]",
    "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    operands=(0, 1),
    example="wharf logout registry.example.com",
)


def login(session: Session, args: list[str]) -> int:
    """Has the daemon check the credentials, then keeps them."""
    flags, servers = LOGIN.parse(args)
    server = server_key(servers[0] if servers else "")
    kept = Credentials(session.config)
    auth = _asked(session, flags, server, kept)
    answer = session.client().post("/auth", auth) or {}
    token = answer.get("IdentityToken") or ""
    if token:
        auth = {**auth, "identitytoken": token, "password": ""}
    if kept.put(server, auth):
        session.complain(
            f"\nWARNING! Your credentials are stored unencrypted in '{kept.path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    session.line(str(answer.get("Status") or "Login Succeeded"))
    return 0


def _asked(session: Session, flags: dict[str, str], server: str, kept: Credentials) -> dict[str, str]:
    username, password = flags.get("username", ""), flags.get("password", "")
    if flags.get("password-stdin"):
        if password:
            raise ExitWith("--password and --password-stdin are mutually exclusive")
        if not username:
            raise ExitWith("Must provide --username with --password-stdin")
        password = sys.stdin.readline().rstrip("\r\n")
    elif password:
        session.complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not username and not password:
        known = kept.get(server)
        if known:
            return known
    if (not username or not password) and not sys.stdin.isatty():
        raise ExitWith("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        shown = "Docker Hub" if server == HUB else server
        session.write(f"Username for {shown}: ")
        sys.stdout.flush()
        username = sys.stdin.readline().strip()
        if not username:
            raise ExitWith("Error: Non-null Username Required")
    if not password:
        from getpass import getpass

        password = getpass("Password: ")
    if not password:
        raise ExitWith("Error: Password Required")
    return {"username": username, "password": password, "serveraddress": server}


def logout(session: Session, args: list[str]) -> int:
    """Forgets the credentials."""
    _, servers = LOGOUT.parse(args)
    server = server_key(servers[0] if servers else "")
    session.line(f"Removing login credentials for {server}")
    Credentials(session.config).remove(server)
    return 0
