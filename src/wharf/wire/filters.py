"""The `filters` query parameter: JSON `{"k": ["v"]}`, or `{"k": {"v": true}}` as older clients write it."""

from wharf.errors import Invalid
from wharf.wire.codec import parse

MAX_FILTERS = 256 << 10


def parse_filters(text: str) -> dict[str, list[str]]:
    """Filters by name, flattened; an empty text is none. Raises Invalid."""
    if not text:
        return {}
    if len(text) > MAX_FILTERS:
        raise Invalid(f"invalid filter: more than {MAX_FILTERS} bytes")
    try:
        raw = parse(text.encode())
    except Invalid:
        raise Invalid("invalid filter") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise Invalid("invalid filter")
    return {name: _values(values) for name, values in raw.items()}


def _values(raw: object) -> list[str]:
    if raw is None:
        return []
    if isinstance(raw, dict) and all(isinstance(flag, bool) for flag in raw.values()):
        return [value for value, wanted in raw.items() if wanted]
    if isinstance(raw, list) and all(isinstance(value, str) for value in raw):
        return list(raw)
    raise Invalid("invalid filter")
