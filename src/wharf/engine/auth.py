"""Check a user's credentials at a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.registries import credentials_of, domain_of
from wharf.errors import Invalid
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def check_login(engine: Engine, login: RegistryLogin) -> str:
    """The identity token that stands for the credentials from now on, "" when the registry gives none.

    Raises Unauthorized in Docker's words; Invalid for an address that is none; Internal when the registry cannot be
    asked.
    """
    from wharf.registry.client.errors import Misbehaves  # the HTTP client comes with it
    from wharf.registry.client.login import login as ask
    from wharf.registry.client.trust import split_url

    try:
        split_url(f"https://{domain_of(login.server)}")
    except Misbehaves as error:
        raise Invalid(f"unable to parse server address: {error.message}") from None
    client = engine.registries.client(engine.config.registries)
    return ask(client, domain_of(login.server), credentials_of(login))
