"""Where an instruction stands, and errors that say so."""

from dataclasses import dataclass

from wharf.errors import Invalid


@dataclass(frozen=True, slots=True)
class Lines:
    """First and last physical line, counted from 1, both included."""

    first: int
    last: int


class DockerfileError(Invalid):
    """A Dockerfile that cannot be built; `lines` is None where the whole file is meant.

    `reason` is the message without the place, for those who have another way to tell it.
    """

    def __init__(self, message: str, lines: Lines | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.lines = lines
        self.reason = reason or message


class UnreadableDockerfile(DockerfileError):
    """One that cannot even be taken apart into instructions: what BuildKit's parser says, before it knows of any."""


def excerpt(text: str, lines: Lines, around: int = 2) -> str:
    """The lines at fault, marked `>>>`, with `around` lines before and after, numbered as the file has them."""
    physical = text.split("\n")
    first = max(lines.first - around, 1)
    last = min(max(lines.last, lines.first) + around, len(physical))
    out = []
    for number in range(first, last + 1):
        mark = ">>>" if lines.first <= number <= max(lines.last, lines.first) else "   "
        out.append(f"{number:4d} | {mark} {physical[number - 1].rstrip()}")
    return "\n".join(out)
