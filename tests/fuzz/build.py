"""Hostile input of builds: `python -m tests.fuzz.build` mutates what is good for WHARF_FUZZ_SECONDS (30 minutes).

Dockerfiles are parsed, checked and lowered; patterns of .dockerignore are read and asked; archives are unpacked as
contexts; words that say where a result goes, what a lock file, a cache or a directory holds, and URLs of repositories
are read. Whatever comes, it is taken or refused by an error of ours, within SLOW seconds; anything else is a crash, and
is told with its seed.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.conformance.builds.cases import cases, check_cases
from tests.system.build.refusals import REFUSALS
from tests.unit.build.test_lower import low
from wharf.build.git_url import git_source
from wharf.build.kept import parse_entries
from wharf.build.lock import parse_lock
from wharf.build.outputs import parse_outputs
from wharf.build.portable.document import decode
from wharf.dockerfile.ignore import IgnoreRules, read_ignore
from wharf.dockerfile.parse import parse_dockerfile
from wharf.errors import WharfError
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_CONFIG, MEDIA_LAYER, Descriptor, Manifest
from wharf.storage.layers.apply import ApplyOptions, apply_layer
from wharf.storage.limits import Limits
from wharf.wire.codec import parse

SLOW = 10.0
"""Seconds of work that one input may cost."""
DOCKERFILES = [case.dockerfile for case in (*cases(), *check_cases())] + [refusal.text[:4000] for refusal in REFUSALS]
IGNORES = ["*.log\n!keep\n**/x\n[a-c]?\n", "/a/**/b\n!a/b/**\n# x\n", "**\n!src/**/*.go\n\\*x\n"]
TOKENS = (
    "$", "${", "}", ":-", "%%", "##", "//", "\\", "`", '"', "'", "<<EOF", "<<-", "\n", "\t", "[", "]", "--", "=",
    "ONBUILD ", "RUN ", "COPY ", "FROM ", "ARG ", " AS ", "\ufeff", "\x00", "\udcff", "../", "*", "--mount=",
    "--from=", ",", "#", "é",
)  # fmt: skip


def mutated(text: str, chance: random.Random) -> str:
    """A text with some of its characters dropped, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 8)):
        at, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        match chance.randint(0, 3):
            case 0:
                text = text[:at] + chance.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[min(end, at + 20) :]
            case 2:
                text = text[:end] + text[at:end] * chance.randint(1, 3) + text[end:]
            case _:
                other = chance.choice(DOCKERFILES)
                cut = chance.randint(0, len(other))
                text = text[:at] + other[cut : cut + 60] + text[at:]
    return text[:20_000]


def dockerfile(chance: random.Random) -> None:
    text = mutated(chance.choice(DOCKERFILES), chance).replace("box:1", "base").replace("busybox", "base")
    parse_dockerfile(text)
    low(text, build_args={mutated("NAME", chance)[:50]: mutated("value", chance)[:200]})


def ignore(chance: random.Random) -> None:
    rules = IgnoreRules(read_ignore(mutated(chance.choice(IGNORES), chance)[:300]))
    path = mutated("a/b/c.log", chance)[:60]
    rules.ignored(path)
    rules.prunes(path)


def context(chance: random.Random, good: list[bytes]) -> None:
    data = bytearray(chance.choice(good))
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data))
        data[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
    with tempfile.TemporaryFile() as archive, tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        archive.write(data)
        archive.seek(0)
        into = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            limits = Limits()
            apply_layer(archive.fileno(), into, ApplyOptions(whiteouts=False, mknod=False, limits=limits))
        finally:
            os.close(into)


def said(chance: random.Random) -> None:
    """What clients and registries say in JSON, or in a word."""
    read, good = chance.choice(SAID)
    text = chance.choice(good)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(SCRAPS) + text[at + chance.randint(0, 6) :]
    read(text)


def _cache(text: str) -> None:
    layers = tuple(Descriptor(MEDIA_LAYER, Digest(str(number) * 64), 10) for number in range(2))
    manifest = Manifest(Descriptor(MEDIA_CONFIG, Digest("0" * 64), len(text)), layers)
    decode(manifest, text.encode("utf-8", "surrogateescape"))


SCRAPS = (
    "null", "[]", "{}", '""', "-1", "1e999", "true", '"Type"', "[[", "]]", ",", "\x00", "\udcff", '"\\ud800"',
    "9" * 400,
    "#", ":", "..", "-", "?", "=", "%00", "/", "@", "[" * 60, "sha256:", " ",
)  # fmt: skip
_KEYED = '{"key":"' + "a" * 64 + '","title":"t","layers":[0,1],"parents":["' + "b" * 64 + '"]}'
SAID: list[tuple[Callable[[str], object], list[str]]] = [
    (
        parse_outputs,
        ['[{"Type":"oci","Attrs":{"dest":"x","compression":"gzip"}},{"Type":"image","Attrs":{"push":"1"}}]'],
    ),
    (parse_lock, ['{"version":1,"sources":{"image a":"sha256:1","http u":"sha256:2"}}']),
    (
        _cache,
        [
            '{"version":1,"diffIDs":["sha256:' + "0" * 64 + '","sha256:' + "1" * 64 + '"],"records":[' + _KEYED + "],"
            '"mounts":[{"name":"' + "c" * 64 + '","title":"m","layer":1}]}'
        ],
    ),
    (git_source, ["https://h/r.git#main:dir", "git@h:r.git#v1", "https://h/r.git?ref=a&subdir=b&keep-git-dir=1"]),
    (
        lambda text: parse_entries(parse(text.encode("utf-8", "surrogateescape"))),
        ['[["a",33188,5,1,"' + "a" * 64 + '"],["d",16877,0,1,""],["l",41471,0,1,"a"]]'],
    ),
]


def good_contexts() -> list[bytes]:
    """Archives with every kind of entry."""
    import io
    import tarfile

    found = []
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            for name, kind, link in (
                ("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, ""), ("l", tarfile.SYMTYPE, "../../d/f"),
                ("h", tarfile.LNKTYPE, "d/f"), ("p", tarfile.FIFOTYPE, ""), ("long" * 24, tarfile.REGTYPE, ""),
            ):  # fmt: skip
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname, entry.size = kind, link, 5 if kind == tarfile.REGTYPE else 0
                archive.addfile(entry, io.BytesIO(b"12345"))
        found.append(buffer.getvalue())
    return found


def run(seconds: float, first_seed: int, rounds: int = 0) -> list[str]:
    """Until the time is up, or for so many rounds: what crashed, with its seed."""
    archives = good_contexts()
    targets: list[Callable[[random.Random], None]] = [
        dockerfile,
        ignore,
        lambda chance: context(chance, archives),
        said,
    ]
    deadline, seed, crashes = time.monotonic() + seconds, first_seed, list[str]()
    while time.monotonic() < deadline and (not rounds or seed < first_seed + rounds):
        chance, began = random.Random(seed), time.process_time()
        try:
            targets[seed % len(targets)](chance)
        except (WharfError, OSError):
            pass
        except Exception:
            crashes.append(f"seed {seed}:\n{traceback.format_exc()}")
        if time.process_time() - began > SLOW:
            crashes.append(f"seed {seed}: took {time.process_time() - began:.1f} s")
        if len(crashes) > 20:
            break
        seed += 1
    print(f"{seed - first_seed} inputs, {len(crashes)} crashes")
    return crashes


def main() -> int:
    place = Path(os.environ.get("WHARF_FUZZ_CRASHES", ".cache/fuzz-build.txt"))
    crashes = run(float(os.environ.get("WHARF_FUZZ_SECONDS", "1800")), int(time.time()))
    if crashes:
        place.parent.mkdir(exist_ok=True)
        place.write_text("\n".join(crashes))
        print(crashes[0])
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
