"""Variables for a container or an exec: `-e` and `--env-file`."""

from __future__ import annotations

import os

from wharf.errors import Invalid


def variable(text: str) -> str:
    """The check of a `-e` flag; raises ValueError for one without a name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def lines(path: str) -> list[str]:
    """The lines of a file of variables or labels, without blanks before them, empty ones and comments."""
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [line.lstrip().rstrip("\r\n") for line in file]
    except OSError as error:
        raise Invalid(f"open {path}: {str(error.strerror).lower()}") from None
    return [line for line in lines if line and not line.startswith("#")]


def environment(files: list[str], given: list[str]) -> list[str] | None:
    """`--env-file` lines, then `--env`; a name without a value takes it from this process or is left out."""
    out: list[str] = []
    for path in files:
        for line in lines(path):
            name, equals, _ = line.partition("=")
            if not name or name != name.rstrip() or any(blank in name for blank in " \t"):
                raise Invalid(f"invalid env file ({path}): variable '{name}' contains whitespaces" if name
                              else f"invalid env file ({path}): no variable name on line '{line}'")  # fmt: skip
            if equals:
                out.append(line)
            elif name in os.environ:
                out.append(f"{name}={os.environ[name]}")
    for text in given:
        if "=" in text:
            out.append(text)
        else:
            # docker passes a name that is not set as it is: it removes the variable of the image.
            out.append(f"{text}={os.environ[text]}" if text in os.environ else text)
    return out or None
