"""The AppArmor profile of containers, with a security file system and a parser of the test's own."""

import os
from pathlib import Path

import pytest

from wharf.engine.security import Security, apparmor_profile, parse_options
from wharf.kernel.lsm.apparmor import PROFILE, NotLoaded, default_profile, ensure_loaded, is_loaded
from wharf.spec.container import HostConfig


def _parser(tmp_path: Path, script: str) -> str:
    path = tmp_path / "parser"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_profile_is_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("docker-default (enforce)\n")
    parser = _parser(tmp_path, f'cat > {tmp_path}/given; echo "$@" > {tmp_path}/words')
    assert not is_loaded(PROFILE, str(tmp_path))
    ensure_loaded(PROFILE, str(tmp_path), parser)
    assert (tmp_path / "given").read_text() == default_profile()
    assert (tmp_path / "words").read_text() == "--replace --skip-cache\n"
    (tmp_path / "profiles").write_text(f"docker-default (enforce)\n{PROFILE} (enforce)\n")
    os.unlink(tmp_path / "given")
    ensure_loaded(PROFILE, str(tmp_path), parser)
    assert not (tmp_path / "given").exists()


def test_why_it_was_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(NotLoaded, match="install apparmor"):
        ensure_loaded(PROFILE, str(tmp_path), str(tmp_path / "missing"))
    with pytest.raises(NotLoaded, match="syntax"):
        ensure_loaded(PROFILE, str(tmp_path), _parser(tmp_path, "echo syntax error >&2; exit 1"))


def test_the_text_names_itself_as_peer_and_balances() -> None:
    text = default_profile("mine")
    assert text.startswith("profile mine flags=")
    assert text.count("peer=mine") == 2
    assert text.count("{") == text.count("}") == 1
    assert "deny mount," in text
    assert "deny /proc/sysrq-trigger rwklx," in text


@pytest.mark.parametrize(
    ("options", "privileged", "expected"),
    [
        ([], False, PROFILE),
        ([], True, "unconfined"),
        (["apparmor=unconfined"], False, "unconfined"),
        (["apparmor:own"], False, "own"),
        (["apparmor=own"], True, "own"),
    ],
)
def test_which_profile_a_container_has(options: list[str], privileged: bool, expected: str) -> None:
    host = HostConfig(security_opt=options, privileged=privileged)
    assert apparmor_profile(parse_options(host), privileged, PROFILE) == expected


def test_without_apparmor_there_is_none() -> None:
    assert apparmor_profile(Security(apparmor="own"), False, "") == ""
