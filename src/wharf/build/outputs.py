"""Where a build's result goes: `-o type=…` of buildx, the Engine API's `outputs`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wharf.errors import Invalid
from wharf.spec.reference import Reference
from wharf.transfer.store import parse_name

KINDS = ("image", "docker", "oci", "tar", "local", "registry", "cacheonly")
MAX_OUTPUTS = 32
_TRUE = ("1", "true")
_FALSE = ("", "0", "false")


@dataclass(frozen=True, slots=True)
class Output:
    """One place. `attributes` are buildx's: name, dest, push, compression, …"""

    kind: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def to_client(self) -> bool:
        """Whether bytes of it go to the client: `dest` is where they end, and the client's own business."""
        return self.kind in ("oci", "tar", "local") or (self.kind == "docker" and "dest" in self.attributes)

    @property
    def stores(self) -> bool:
        """Whether the image is to be the engine's."""
        return self.kind in ("image", "registry") or (self.kind == "docker" and not self.to_client)

    @property
    def pushes(self) -> bool:
        """Whether the image goes to its registry."""
        return self.kind == "registry" or _flag(self, "push")

    @property
    def names(self) -> tuple[Reference, ...]:
        """Names beside those of the build. Raises Invalid."""
        return tuple(parse_name(name) for name in self.attributes.get("name", "").split(",") if name)

    @property
    def gzip(self) -> bool:
        """Whether its layers are compressed; archives for docker are not, unless that is asked for."""
        return self.attributes.get("compression", "gzip" if self.kind == "oci" else "uncompressed") == "gzip"


DEFAULT = (Output("image"),)


def parse_outputs(text: str) -> tuple[Output, ...]:
    """A JSON list of `{"Type": …, "Attrs": {…}}`; an empty text is the engine's store. Raises Invalid."""
    if not text:
        return DEFAULT
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid outputs: {error}") from None
    if raw is None or raw == []:
        return DEFAULT
    if not isinstance(raw, list) or len(raw) > MAX_OUTPUTS or not all(isinstance(item, dict) for item in raw):
        raise Invalid(f"invalid outputs: not a list of at most {MAX_OUTPUTS} objects")
    return tuple(_output(item.get("Type"), item.get("Attrs") or {}) for item in raw)


def _output(kind: object, attributes: object) -> Output:
    if not isinstance(kind, str) or kind not in KINDS:
        raise Invalid(f"unknown output type {str(kind)[:100]!r}: one of {', '.join(KINDS)}")
    strings = isinstance(attributes, dict) and all(isinstance(value, str) for value in attributes.values())
    if not strings:
        raise Invalid("invalid outputs: Attrs is not a map of strings")
    assert isinstance(attributes, dict)
    output = Output(kind, attributes)
    if attributes.get("compression", "gzip") not in ("gzip", "uncompressed"):
        raise Invalid(f"compression {attributes['compression'][:50]!r} is not there: gzip or uncompressed")
    _flag(output, "push")
    return output


def _flag(output: Output, name: str) -> bool:
    value = output.attributes.get(name, "").lower()
    if value not in (*_TRUE, *_FALSE):
        raise Invalid(f"invalid value {value[:50]!r} of {name}")
    return value in _TRUE


def check(outputs: Sequence[Output], names: Sequence[Reference]) -> None:
    """Whether everything that is to be pushed has a name. Raises Invalid."""
    for output in outputs:
        if output.pushes and not (names or output.names):
            raise Invalid("tag is needed when pushing to registry")
