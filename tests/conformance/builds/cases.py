"""The Dockerfiles whose images are compared with those of Docker's BuildKit, read from `cases/*.cases`.

A file is a list of cases:

    == name of the case
    # why it is there
    flags --build-arg A=1           flags of the build, split as a shell would; {case} is the case's directory
    only wharf                      with flags that `docker build` without BuildKit has not
    first Dockerfile.parent up:1    another file of the case that is built before, with the name it gets
    -- Dockerfile
    FROM box:1
    -- dir/file 0600                a file of the context; 0644 unless a mode is given
    text
    -- dir/ 0700                    a directory
    -- link -> target               a symbolic link
    -- made.tar.gz = dir            an archive of a directory that was written before, files owned by 7:8

Every file has the time FILE_TIME, which is before the base images were made: no engine has a reason to change it.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
FILE_TIME = 1580702706
ARCHIVE_TIME = 1580000000
_PIECE = re.compile(r"(\S+)(?: (0[0-7]+)| -> (\S+)| = (\S+))?\Z")


@dataclass
class Piece:
    """One entry of a context: a file unless `name` ends with a slash or `link` or `archived` is set."""

    name: str
    mode: int = 0
    link: str = ""
    archived: str = ""
    text: list[str] = field(default_factory=list)


@dataclass
class Case:
    """One build. `first`: (Dockerfile, name) of what is built before it."""

    name: str
    flags: tuple[str, ...] = ()
    only_wharf: bool = False
    first: list[tuple[str, str]] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    @property
    def dockerfile(self) -> str:
        """The text, for a recording to be held against."""
        return "\n".join(next(piece.text for piece in self.pieces if piece.name == "Dockerfile")) + "\n"

    def write(self, root: Path) -> list[str]:
        """The context into a directory; the flags with that directory put in."""
        for piece in self.pieces:
            _write(root, piece)
        for directory, names, _ in os.walk(root, topdown=False):
            for name in names:
                os.utime(os.path.join(directory, name), (FILE_TIME, FILE_TIME), follow_symlinks=False)
        return [flag.replace("{case}", str(root)) for flag in self.flags]


def _write(root: Path, piece: Piece) -> None:
    path = root / piece.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if piece.link:
        path.symlink_to(piece.link)
    elif piece.archived:
        path.write_bytes(_packed(root / piece.archived, piece.name))
    elif piece.name.endswith("/"):
        path.mkdir(exist_ok=True)
        path.chmod(piece.mode or 0o755)
    else:
        path.write_text("".join(line + "\n" for line in piece.text))
        path.chmod(piece.mode or 0o644)
    os.utime(path, (FILE_TIME, FILE_TIME), follow_symlinks=False)


def _packed(directory: Path, name: str) -> bytes:
    kind = {".gz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(os.path.splitext(name)[1], "")
    buffer = io.BytesIO()

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = 7, 8, "", "", ARCHIVE_TIME
        return entry

    with tarfile.open(fileobj=buffer, mode=f"w:{kind}", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for below in sorted(os.listdir(directory)):
            archive.add(directory / below, below, filter=owned)
    return buffer.getvalue()


def parse(text: str) -> Iterator[Case]:
    """The cases of one file; ValueError for a line that is none."""
    case: Case | None = None
    for line in text.splitlines():
        if line.startswith("== "):
            if case:
                yield case
            case = Case(line[3:].strip())
        elif case is not None:
            _line(case, line)
    if case:
        yield case


def _line(case: Case, line: str) -> None:
    if line.startswith("-- "):
        found = _PIECE.match(line[3:])
        if not found:
            raise ValueError(f"{case.name}: {line}")
        name, mode, link, archived = found.groups()
        case.pieces.append(Piece(name, int(mode or "0", 8), link or "", archived or ""))
    elif case.pieces:
        case.pieces[-1].text.append(line)
    elif line.startswith("flags "):
        case.flags += tuple(shlex.split(line[6:]))
    elif line == "only wharf":
        case.only_wharf = True
    elif line.startswith("first "):
        _, file, name = line.split()
        case.first.append((file, name))
    elif line and not line.startswith("#"):
        raise ValueError(f"{case.name}: {line}")


def cases() -> list[Case]:
    """All of them; ValueError when two have one name."""
    found = [case for path in sorted(CASES.glob("*.cases")) for case in parse(path.read_text())]
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        raise ValueError(f"cases named twice: {sorted({n for n in names if names.count(n) > 1})}")
    return found


def check_cases() -> list[Case]:
    """The Dockerfiles for the build checks, one called as each rule at least."""
    return list(parse((CASES.parent / "checks.cases").read_text()))
