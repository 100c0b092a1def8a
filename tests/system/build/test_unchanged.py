"""The same build again: what it tells and gives is the same, as long as all that it stands on is."""

import json
import re
from pathlib import Path

import pytest

from tests.support.building import write
from tests.support.wharfd import Wharfd
from tests.system.build.test_build import Context

FILES = {
    "Dockerfile": 'FROM base:1\nARG WHO=nobody\nCOPY file /\nRUN echo $WHO $(cat /version /file) > /made\nCMD ["x"]\n',
    "file": "file",
}

_STEP = re.compile(r"(?<= ---> )[0-9a-f]{12}$", re.M)
"""What a step is called in between; the context has another name in each build that is worked out."""


@pytest.fixture
def context(daemon: Wharfd, tmp_path: Path) -> Context:
    """Its base is `base:1`, which has a /version."""
    for number in ("1", "2"):
        (tmp_path / "base").mkdir(exist_ok=True)
        base = Context(daemon, tmp_path / "base")
        base.build(f"FROM busybox\nRUN echo {number} > /version\n", "-t", f"base:{number}")
    context = Context(daemon, write(tmp_path / "context", FILES))
    return context


def _build(context: Context, *flags: str) -> str:
    return context.build(FILES["Dockerfile"], *flags).stdout


def test_it_tells_and_gives_the_same(context: Context) -> None:
    first, again = _build(context), [_build(context) for _ in range(3)]
    assert "Using cache" not in first and again[0].count("Using cache") == 4
    assert again[0] == again[1] == again[2]
    assert context.inside("cat /made") == "nobody 1 file\n"
    context.daemon.stop()
    context.daemon.start()  # it remembers no context: this one is worked out
    assert _STEP.sub("", _build(context)) == _STEP.sub("", again[0])
    context.daemon.docker("rmi", "built")
    assert _STEP.sub("", _build(context)) == _STEP.sub("", again[0])
    assert context.inside("cat /made") == "nobody 1 file\n"


def test_another_base_of_that_name_counts(context: Context) -> None:
    _build(context)
    context.daemon.docker("tag", "base:1", "base:first")
    context.daemon.docker("tag", "base:2", "base:1")
    assert "Using cache" not in _build(context) and context.inside("cat /made") == "nobody 2 file\n"
    context.daemon.docker("tag", "base:first", "base:1")
    assert "Using cache" in _build(context) and context.inside("cat /made") == "nobody 1 file\n"


def test_other_words_are_another_build(context: Context) -> None:
    for who in ("me", "you", "me", "you"):
        _build(context, "--build-arg", f"WHO={who}", "--label", f"for={who}")
        assert context.inside("cat /made") == f"{who} 1 file\n"
        assert context.daemon.docker("inspect", "-f", "{{.Config.Labels.for}}", "built").stdout == f"{who}\n"
    assert "Using cache" not in _build(context, "--no-cache", "--build-arg", "WHO=me")


def test_what_was_pruned_is_done_again(context: Context) -> None:
    _build(context)
    assert "Using cache" in _build(context)
    context.daemon.docker("rmi", "built")
    context.daemon.docker("builder", "prune", "-a", "-f")
    assert "Using cache" not in _build(context) and context.inside("cat /made") == "nobody 1 file\n"


def test_a_base_that_is_gone_is_missed(context: Context) -> None:
    _build(context)
    context.daemon.docker("rmi", "-f", "base:1")
    assert context.build(FILES["Dockerfile"], check=False).returncode != 0


def test_uses_are_counted(context: Context) -> None:
    def uses() -> int:
        text = context.daemon.docker("system", "df", "-v", "--format", "{{json .BuildCache}}").stdout
        shown = json.loads(re.sub(r"^.*?(\[.*\]).*$", r"\1", text, flags=re.S))
        return sum(int(item["UsageCount"]) for item in shown if item["CacheType"] == "regular")

    _build(context)
    before = uses()
    _build(context)
    _build(context)
    assert uses() == before + 4  # COPY and RUN
