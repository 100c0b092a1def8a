"""Makes two answers comparable: what no two runs can have in common becomes a word in angle brackets.

An id is named after the line of the scenario where it first appears, so that it still shows which of them are equal.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conformance.runner import Answer
from tests.conformance.table import Line

_ID = re.compile(r"(?<![0-9a-zA-Z_])(?:[0-9a-f]{64}|[0-9a-f]{12})(?![0-9a-zA-Z_])")
_AGO = r"(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour|day|week|month|year)s?)"
_STEP_IDS = re.compile(r"^(?:\x1b\[0m)? ---> (?:Running in |Removed intermediate container )?[0-9a-f]{12}\n", re.M)
_SENDING = re.compile(r"^Sending build context to Docker daemon[^\n]*\n\n", re.M)
_RULES = [
    # The client prints these when the server's refusal overtakes what it is still sending.
    (re.compile(r'time="[^"]*" level=error msg="Can\'t (?:add file|close tar writer)[^\n]*\n'), ""),
    (re.compile(r"(?!0001-01-01)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"(?!0001-01-01)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} [A-Z]{3}"), "<time>"),
    (re.compile(r"/[^\s\"']+/volumes/(?=[a-z0-9<])"), "<root>/volumes/"),
    (re.compile(r"(?<= AS /)[a-z]+_[a-z]+[0-9]?\b"), "<name>"),
    (re.compile(r"\b(?:docker0|wharf\d+(?:-[0-9a-f]{6})?)\b"), "<bridge>"),
    (re.compile(r"(?<=/)(?:docker|wharf(?:-[0-9a-f]{6})?)(?=/<id )"), "<parent>"),
    (re.compile(r"\b(?:veth[0-9a-f]{7}|wv-[0-9a-f]{12}|w[0-9a-f]{6}-[0-9a-f]{7})\b"), "<veth>"),
    (re.compile(r"0\.01 to \d+\.00, as there are only \d+ CPUs"), "0.01 to <n>, as there are only <n> CPUs"),
    (re.compile(r"available: [\d,-]+"), "available: <processors>"),
    (re.compile(r"(?<= is mounted on )/\S* (?=but it is not a)"), "<mount> "),
    (re.compile(r'(?<=daemon root: )"[^"]*"'), "<root>"),
    (re.compile(r", dstFd=/proc/thread-self/fd/\d+"), ""),
    (re.compile(r"0x[0-9a-f]{6,}"), "<pointer>"),
    (re.compile(rf"{_AGO} ago"), "<ago>"),
    (re.compile(rf"Up {_AGO}"), "Up <time>"),
    (re.compile(r"\b(?!0B)\d+(?:\.\d+)?(?:kB|MB|GB|B)\b"), "<size>"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<mac>"),
    (re.compile(r"\b172\.\d+\.0\.1\b"), "<gateway>"),
    (re.compile(r"\b172\.\d+\.0\.0\b"), "<subnet>"),
    (re.compile(r"\b172\.\d+\.\d+\.\d+\b"), "<ip>"),
    (re.compile(r"\b(?:3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[45]\d{4}|60\d{3})\b(?!\.)"), "<port>"),
    (re.compile(r"\b(timeNano|time)\":( ?)\d+"), r'\1":\g<2>0'),
    (re.compile(r"\b(execDuration)=\d+"), r"\1=<n>"),
    (re.compile(r'("execDuration": ")\d+'), r"\1<n>"),
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"[ \t]+$", re.M), ""),
]

_BY_PLACE = (".blkio_stats.io_service_bytes_recursive", ".blkio_stats.io_serviced_recursive")
"""Whether a container has read a block device depends on where the data root lies."""


class Normaliser:
    """For one scenario on one engine: remembers the ids that it has seen."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._place = ""

    def answer(self, index: int, line: Line, answer: Answer) -> tuple[int, str, str]:
        """Code, stdout and stderr as they are compared."""
        out, err = answer.stdout, answer.stderr
        self._place = f"{index}."
        if "json" in line.directives:
            out = _shape_of(out)
        elif line.verb == "api":
            out = _in_order(out)
        if "classic" in line.directives:
            # What a step writes to standard error is coloured a piece at a time, and pieces come as they come.
            out, err = (_STEP_IDS.sub("", text.replace("\x1b[0m\x1b[91m", "")) for text in (out, err))
            # A quiet client tells on standard error that it sends, unless a refusal comes first.
            err = _SENDING.sub("", err)
        out, err = self._text(out), self._text(err)
        if "sorted" in line.directives:
            out = "\n".join(sorted(out.splitlines()))
        if "tty" in line.directives:
            out = out.replace("\r\n", "\n")
        return answer.code, out, err

    def _text(self, text: str) -> str:
        text = _ID.sub(self._number, text)
        for pattern, word in _RULES:
            text = pattern.sub(word, text)
        return text

    def _number(self, match: re.Match[str]) -> str:
        found = match[0]
        here = sum(name.startswith(self._place) for name in self._ids.values())
        name = self._ids.setdefault(found[:12], f"{self._place}{here + 1}")
        return f"<id {name}>" if len(found) == 12 else f"<id {name} in full>"


def _documents(text: str) -> list[Any] | None:
    """The JSON documents of a text, one behind the other; None when it is something else."""
    found, place, decoder = [], 0, json.JSONDecoder()
    try:
        while (place := len(text) - len(text[place:].lstrip())) < len(text):
            document, place = decoder.raw_decode(text, place)
            found.append(document)
    except ValueError:
        return None
    return found


def _in_order(text: str) -> str:
    """Each document on lines of its own, its keys sorted: their order says nothing to a client."""
    documents = _documents(text)
    if documents is None:
        return text
    return "".join(json.dumps(document, indent=1, sort_keys=True) + "\n" for document in documents)


def _shape_of(text: str) -> str:
    """Each key of a JSON text with the type of its value, a line each; text that is no JSON stays as it is."""
    documents = _documents(text)
    if documents is None:
        return text
    return "\n".join(sorted({row for document in documents for row in _keys(document, "")})) + "\n"


def _keys(value: Any, path: str) -> list[str]:
    if path in _BY_PLACE:
        return []
    if isinstance(value, dict) and value:
        return [row for key, inner in value.items() for row in _keys(inner, f"{path}.{key}")]
    if isinstance(value, list) and value:
        return [row for inner in value for row in _keys(inner, f"{path}[]")]
    kind = {dict: "{}", list: "[]", str: "text", bool: "boolean", int: "number", float: "number"}
    return [f"{path}: {kind.get(type(value), 'null')}"]
