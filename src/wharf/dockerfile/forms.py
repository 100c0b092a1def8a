"""The two forms of a list of arguments: a JSON array of strings, or text."""

import json
import re
from json.decoder import JSONDecodeError

from wharf.errors import Invalid

_BLANKS = re.compile(r"[\t\v\f\r ]+")


def exec_form(text: str) -> tuple[str, ...] | None:
    """The list of a JSON array of strings; None for what is no JSON array, which is then shell form.

    Raises Invalid for an array that holds anything but strings.
    """
    if not text.startswith("["):
        return None
    try:
        raw = json.loads(text)
    except (JSONDecodeError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in raw):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(raw)


def list_form(text: str) -> tuple[str, ...]:
    """A JSON array of strings, or words parted by blanks."""
    found = exec_form(text)
    if found is not None:
        return found
    return tuple(_BLANKS.split(text)) if text else ()
