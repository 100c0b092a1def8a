"""Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top of a Dockerfile."""

import re
from dataclasses import dataclass, replace

from wharf.dockerfile.position import Lines, UnreadableDockerfile

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*\Z")
_ESCAPES = ("\\", "`")


@dataclass(frozen=True, slots=True)
class Directives:
    """What the top of the file asks for; `end` is the number of lines they take."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""
    end: int = 0


def read_directives(physical: list[str]) -> Directives:
    """The directives of a file's lines; the first line that is none ends them. Raises UnreadableDockerfile."""
    found = Directives()
    seen = set()
    for number, line in enumerate(physical, 1):
        match = _DIRECTIVE.match(line.strip())
        key = match.group(1).lower() if match else ""
        if match is None or key not in ("syntax", "escape", "check"):
            break
        if key in seen:
            raise UnreadableDockerfile(f"only one {key} parser directive can be used", Lines(number, number))
        seen.add(key)
        value = match.group(2)
        if key == "escape" and value not in _ESCAPES:
            raise UnreadableDockerfile(f"invalid escape token '{value}' does not match ` or \\", Lines(number, number))
        found = replace(found, end=number)
        if key == "syntax":
            found = replace(found, syntax=value)
        elif key == "escape":
            found = replace(found, escape=value)
        else:
            found = replace(found, check=value)
    return found
