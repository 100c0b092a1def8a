"""Whether a registry takes a user's credentials, and the token that it gives to remember them by."""

from wharf.errors import Unauthorized
from wharf.registry.client.errors import StillUnauthorized
from wharf.registry.client.place import Client
from wharf.registry.client.values import Credentials


def login(client: Client, domain: str, credentials: Credentials) -> str:
    """The identity token of a login, "" where the registry gives none.

    Raises Unauthorized in Docker's words; Unreachable, Refused, Misbehaves.
    """
    place = client.place(domain, credentials, offline=True)
    try:
        answer = place.send("GET", "/v2/", "")
    except StillUnauthorized:
        raise Unauthorized(f"login attempt to {place.base}/v2/ failed with status: 401 Unauthorized") from None
    if answer.status != 200:
        raise place.refusal(answer)
    answer.finish()
    return place.identity_token
