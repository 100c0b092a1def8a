"""YAML text -> plain values, for the descriptions that vendors of devices write."""

from typing import Any

import msgspec


def parse_yaml(data: bytes) -> Any:
    """Safe types only; raises ValueError."""
    try:
        return msgspec.yaml.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
