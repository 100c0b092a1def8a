"""Manifest lists in the making: files beneath the client's directory, where docker keeps them too.

    <config>/manifests/<list>/<manifest>    JSON: Ref, Descriptor (with its platform), Raw (the document, base64)

Names of files are image names with `-` for `:` and `_` for `/`, as docker has them; so either tool goes on with what
the other began.
"""

from __future__ import annotations

import base64
import json
import os
import shutil

from wharf.cli import references
from wharf.client.address import config_directory
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FILE = 8 << 20
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def whole_name(text: str) -> str:
    """`app` -> `docker.io/library/app:latest`; raises Invalid for what could not be one."""
    repository, tag = references.split(text)
    mark = "@" if ":" in tag else ":"
    if not repository or any(character.isspace() for character in text) or ".." in text:
        raise Invalid(f"invalid reference format: {text[:200]}")
    return f"{references.canonical(repository)}{mark}{tag or 'latest'}"


def domain_of(name: str) -> str:
    """The registry of a whole name."""
    return name.partition("/")[0]


def repository_of(name: str) -> str:
    """A whole name without its tag and digest."""
    return references.split(references.split(name)[0])[0]


def path_of(name: str) -> str:
    """The repository of a whole name, without its registry."""
    return repository_of(name).partition("/")[2]


def entry_of(ref: str, descriptor: dict[str, Any], document: bytes) -> dict[str, Any]:
    """A manifest as docker writes it down."""
    key = "OCIManifest" if descriptor["mediaType"] == OCI_MANIFEST else "SchemaV2Manifest"
    raw = base64.b64encode(document).decode()
    return {"Ref": ref, "Descriptor": descriptor, "Raw": raw, key: json.loads(document)}


def index_of(entries: list[dict[str, Any]]) -> tuple[str, bytes]:
    """The list of the entries: OCI's index where all are OCI's, else Docker's; media type and document."""
    descriptors = [entry["Descriptor"] for entry in entries]
    oci = all(descriptor["mediaType"] == OCI_MANIFEST for descriptor in descriptors)
    media = OCI_INDEX if oci else DOCKER_LIST
    return media, json.dumps({"schemaVersion": 2, "mediaType": media, "manifests": descriptors}, indent=3).encode()


class ManifestLists:
    """The lists in `directory` ("": $DOCKER_CONFIG or ~/.docker)."""

    def __init__(self, directory: str = "") -> None:
        directory = config_directory(directory)
        self._root = os.path.join(directory, "manifests")

    def entries(self, name: str) -> list[dict[str, Any]]:
        """The manifests of a list, by name; [] when there is none. Raises Invalid for a damaged file."""
        place = self._place(name)
        try:
            found = sorted(os.listdir(place))
        except FileNotFoundError:
            return []
        return [_read(os.path.join(place, item)) for item in found if not item.endswith(".part")]

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Add a manifest to a list, or change it."""
        os.makedirs(self._place(name), exist_ok=True)
        path = os.path.join(self._place(name), _safe(entry["Ref"]))
        with open(f"{path}.part", "w", encoding="utf-8") as file:
            json.dump(entry, file)
        os.rename(f"{path}.part", path)

    def remove(self, name: str) -> bool:
        """Forget a list; whether there was one."""
        try:
            shutil.rmtree(self._place(name))
        except FileNotFoundError:
            return False
        return True

    def _place(self, name: str) -> str:
        return os.path.join(self._root, _safe(name))


def _safe(name: str) -> str:
    return name.replace(":", "-").replace("/", "_")


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(MAX_FILE))
        descriptor = raw["Descriptor"]
        if not all(isinstance(descriptor[key], str) for key in ("mediaType", "digest")):
            raise ValueError("no descriptor")
        if not isinstance(raw["Ref"], str) or not isinstance(descriptor["size"], int):
            raise ValueError("no descriptor")
    except (ValueError, KeyError, TypeError):
        raise Invalid(f"{path} is damaged: remove the list with `wharf manifest rm`") from None
    out: dict[str, Any] = raw
    return out
