"""`proxies` of docker's config.json: what containers and builds are told of the proxies that this user has.

    {"proxies": {"default": {"httpProxy": "http://proxy:3128", "noProxy": "localhost"}, "tcp://host:2376": {…}}}

An entry with the daemon's address counts for that daemon alone, `default` for all others.
"""

from __future__ import annotations

from wharf.cli.session import Session
from wharf.client import jsontext
from wharf.client.address import config_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_NAMES = (
    ("httpProxy", "HTTP_PROXY"), ("httpsProxy", "HTTPS_PROXY"), ("noProxy", "NO_PROXY"), ("ftpProxy", "FTP_PROXY"),
    ("allProxy", "ALL_PROXY"),
)  # fmt: skip


def proxy_variables(session: Session, given: Collection[str]) -> dict[str, str]:
    """Each configured proxy in capitals and in small letters, but those among `given`, which the user said himself."""
    directory = config_directory(session.config)
    try:
        with open(directory + "/config.json", "rb") as file:
            settings = jsontext.loads(file.read())
    except (OSError, ValueError):  # whoever needs the file says what is wrong with it
        return {}
    proxies = settings.get("proxies") if isinstance(settings, dict) else None
    if not isinstance(proxies, dict) or not proxies:
        return {}
    own = proxies.get(str(session.address()), proxies.get("default"))
    found: dict[str, str] = {}
    for key, name in _NAMES:
        value = own.get(key) if isinstance(own, dict) else None
        if isinstance(value, str) and value:
            found |= {word: value for word in (name, name.lower()) if word not in given}
    return found
