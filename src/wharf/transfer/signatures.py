"""Whether an image may come from its repository: what the settings say, and signatures in cosign's form.

A signature is a layer of a manifest that refers to the signed document: a small JSON text (`simplesigning`) that names
the document's digest, signed with a key whose public half the settings name. It is found as a referrer (distribution
specification 1.1, end-12), by the referrers' tag `sha256-…` of older registries, or by cosign's own tag
`sha256-….sig`. What is signed is the document that the name stands for: of an index the index.

The keys are checked by the host's openssl: ECDSA and RSA over SHA-256, as `cosign generate-key-pair` and KMS keys sign.
"""

import base64
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wharf.errors import Denied, Internal, Invalid, WharfError
from wharf.registry.client.errors import Refused
from wharf.registry.client.repository import Repository
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE, load_json
from wharf.spec.reference import Reference
from wharf.spec.registry import SignatureRule

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
NOTE = "dev.cosignproject.cosign/signature"
TYPE = "cosign container image signature"
MAX_SIGNATURES = 64
"""Of one document that are looked at."""
MAX_PAYLOAD = 64 << 10
MAX_SIGNATURE = 8 << 10
OPENSSL_SECONDS = 30


def admit(repository: Repository, reference: Reference, digest: Digest, rule: SignatureRule) -> None:
    """Raise Denied unless the document is signed with one of the rule's keys; a rule without keys asks nothing.

    Raises Internal when the registry cannot be asked or a key cannot be used: what is not known is not admitted.
    """
    if not rule.keys:
        return
    seen = 0
    for payload, signature in _signatures(repository, digest):
        seen += 1
        if _names(payload, digest) and any(_is_signed(payload, signature, key) for key in rule.keys):
            return
    what = f"none of its {seen} signatures is right" if seen else "it has no signature"
    raise Denied(f"pull of {reference.familiar()} is refused by the signature policy: {what} ({digest})")


def refuse(reference: Reference, rule: SignatureRule) -> None:
    """Raise Denied for a repository that nothing may come from, before anybody is asked."""
    if rule.refuse:
        raise Denied(f"pull of {reference.familiar()} is refused by the signature policy")


def _signatures(repository: Repository, digest: Digest) -> Iterator[tuple[bytes, bytes]]:
    left = MAX_SIGNATURES
    for name in _places(repository, digest):
        try:
            document = repository.manifest(name)
        except Refused as error:
            if error.status in (401, 403, 404):
                continue
            raise
        layers = load_json(document.data, "signature", MAX_MANIFEST_SIZE).get("layers")
        for layer in layers if isinstance(layers, list) else []:
            if found := _layer(layer):
                left -= 1
                if left < 0:
                    return
                blob, signature = found
                yield repository.document(blob, MAX_PAYLOAD), signature


def _places(repository: Repository, digest: Digest) -> Iterator[str]:
    """Names of manifests that may be signatures."""
    yield f"sha256-{digest.hex}.sig"
    for entry in repository.referrers(digest, ARTIFACT)[:MAX_SIGNATURES]:
        if entry.get("artifactType", ARTIFACT) == ARTIFACT:
            yield str(Digest.parse(str(entry.get("digest"))))


def _layer(raw: Any) -> tuple[Digest, bytes] | None:
    """The payload's digest and the signature over it."""
    notes = raw.get("annotations") if isinstance(raw, dict) else None
    text = notes.get(NOTE) if isinstance(notes, dict) else None
    if not isinstance(text, str) or raw.get("mediaType") != SIMPLE or len(text) > MAX_SIGNATURE:
        return None
    try:
        return Digest.parse(str(raw.get("digest"))), base64.b64decode(text, validate=True)
    except (ValueError, WharfError):
        return None


def _names(payload: bytes, digest: Digest) -> bool:
    """Whether the signed text speaks of this document."""
    try:
        critical = load_json(payload, "signature", MAX_PAYLOAD).get("critical")
    except Invalid:
        return False
    if not isinstance(critical, dict) or critical.get("type") != TYPE:
        return False
    image = critical.get("image")
    return isinstance(image, dict) and image.get("docker-manifest-digest") == str(digest)


def _is_signed(payload: bytes, signature: bytes, key: str) -> bool:
    """Whether openssl finds the signature right. Raises Internal when the key or openssl cannot be used."""
    if not Path(key).is_file():
        raise Internal(f"signature policy: the key {key} is not there")
    with tempfile.TemporaryDirectory(prefix="wharf-signature-") as place:
        path = Path(place) / "signature"
        path.write_bytes(signature)
        command = ["openssl", "dgst", "-sha256", "-verify", key, "-signature", str(path)]
        try:
            done = subprocess.run(command, input=payload, capture_output=True, timeout=OPENSSL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Internal(f"signature policy: openssl cannot be run: {error}") from None
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    if b"Verified OK" in done.stdout and done.returncode == 0:
        return True
    if "key" in said.lower() and "Verif" not in said:
        raise Internal(f"signature policy: the key {key} cannot be used: {said.strip()[:200]}")
    return False
