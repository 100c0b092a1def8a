"""Descriptions of devices that are not what the CDI specification says: told of, never a failure of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from wharf.engine import cdi
from wharf.engine.config import EngineConfig


def config(*directories: Path) -> EngineConfig:
    return EngineConfig(data_root="/nowhere", exec_root="/nowhere", cdi_spec_dirs=tuple(map(str, directories)))


def spec(edits: Any, name: str = "one") -> str:
    described = {"name": name, "containerEdits": edits}
    return json.dumps({"cdiVersion": "0.7.0", "kind": "a.example/b", "devices": [described]})


@pytest.mark.parametrize(
    "edits",
    [
        "text",
        {"env": "A=b"},
        {"env": [1]},
        {"deviceNodes": [{"path": "dev/x"}]},
        {"deviceNodes": [{"path": "/dev/x", "major": "one"}]},
        {"deviceNodes": [{"path": "/dev/x", "hostPath": 5}]},
        {"deviceNodes": [{"path": "/dev/x", "type": "z"}]},
        {"deviceNodes": [{"path": "/dev/x", "permissions": "all"}]},
        {"deviceNodes": [{"path": "/dev/x", "fileMode": "0666"}]},
        {"mounts": [{"hostPath": "/a"}]},
        {"mounts": [{"hostPath": "/a", "containerPath": "/b", "options": "ro"}]},
        {"additionalGids": ["root"]},
    ],
)
def test_a_device_that_is_badly_described_is_not_there(tmp_path: Path, edits: Any) -> None:
    (tmp_path / "bad.json").write_text(spec(edits))
    (tmp_path / "good.json").write_text(spec({"env": ["A=b"]}, "two"))
    found = cdi.read_catalog(config(tmp_path))
    assert list(found.devices) == ["a.example/b=two"]
    assert len(found.problems) == 1 and "bad.json: failed to load CDI Spec invalid CDI Spec: " in found.problems[0]


def test_more_files_than_are_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdi, "MAX_SPECS", 1)
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(spec({}, name))
    found = cdi.read_catalog(config(tmp_path))
    assert list(found.devices) == ["a.example/b=a"]
    assert found.problems == [f"CDI: {tmp_path} has 2 spec files, of which the first 1 are read"]


def test_a_directory_that_is_none_is_said_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = cdi.read_catalog(config(tmp_path / "nosuch", tmp_path / "file"))
    assert found.problems == [f"CDI: {tmp_path}/file cannot be read: not a directory"]


def test_the_same_device_twice_in_a_directory_is_neither(tmp_path: Path) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    for place, names in ((early, "ab"), (late, "c")):
        place.mkdir()
        for name in names:
            (place / f"{name}.json").write_text(spec({"env": [f"FROM={place.name}"]}))
    assert cdi.read_catalog(config(early)).devices == {}
    found = cdi.read_catalog(config(early, late))
    assert found.devices["a.example/b=one"][0] == {"env": ["FROM=late"]}, "a later directory hides what is wrong before"


def test_who_asks_for_no_device_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdi, "read_catalog", lambda _: pytest.fail("read"))
    assert cdi.requested_edits((), config()) == cdi.Edits()
