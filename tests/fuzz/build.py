"""Hostile input of builds: `python -m tests.fuzz.build` mutates what is good for WHARF_FUZZ_SECONDS (30 minutes).

Dockerfiles are parsed, checked and lowered; patterns of .dockerignore are read and asked; archives are unpacked as
contexts. Whatever comes, it is taken or refused by an error of ours; anything else is a crash, and is told with its
seed.
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
from wharf.dockerfile.ignore import IgnoreRules, read_ignore
from wharf.dockerfile.parse import parse_dockerfile
from wharf.errors import WharfError
from wharf.storage.layers.apply import ApplyOptions, apply_layer
from wharf.storage.limits import Limits

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
    targets: list[Callable[[random.Random], None]] = [dockerfile, ignore, lambda chance: context(chance, archives)]
    deadline, seed, crashes = time.monotonic() + seconds, first_seed, list[str]()
    while time.monotonic() < deadline and (not rounds or seed < first_seed + rounds):
        chance = random.Random(seed)
        try:
            targets[seed % len(targets)](chance)
        except (WharfError, OSError):
            pass
        except Exception:
            crashes.append(f"seed {seed}:\n{traceback.format_exc()}")
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
