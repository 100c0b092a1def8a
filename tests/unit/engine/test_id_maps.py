"""--userns-remap: users and their ranges; and the words of the security options."""

import dataclasses
import pwd
from pathlib import Path

import pytest

from wharf.engine.id_maps import IdMaps, applied, check_remap, parse_remap
from wharf.engine.security import parse_options, read_profile
from wharf.errors import Internal, Invalid
from wharf.kernel.probe import probe
from wharf.runtime.userns import map_text, outside
from wharf.spec.container import HostConfig
from wharf.spec.mount import IdMap

_ROOT = pwd.getpwuid(0).pw_name


@pytest.fixture
def ranges(tmp_path: Path) -> str:
    path = tmp_path / "subuid"
    path.write_text(f"other:5:5\n{_ROOT}:100000:65536\n\nbroken:x:y\n0:300000:10\ndockremap:900000:65536\n")
    return str(path)


def test_the_ranges_of_a_name_and_its_number_follow_each_other(ranges: str) -> None:
    expected = (IdMap(0, 100000, 65536), IdMap(65536, 300000, 10))
    for text in (_ROOT, "0"):
        maps = parse_remap(text, ranges, ranges)
        assert maps is not None
        assert maps.uid == expected


def test_default_is_dockers_user_and_nothing_is_none(ranges: str) -> None:
    assert parse_remap("default", ranges, ranges) == IdMaps((IdMap(0, 900000, 65536),), (IdMap(0, 900000, 65536),))
    assert parse_remap("", ranges, ranges) is None


@pytest.mark.parametrize("text", [":", "root:", "a:b:c", "no such user", "4123456789", "root:no such group"])
def test_what_is_no_user(ranges: str, text: str) -> None:
    with pytest.raises(Invalid):
        parse_remap(text, ranges, ranges)


def test_a_user_without_ranges(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_text("")
    with pytest.raises(Invalid, match='no subuid ranges found for user "root"'):
        parse_remap("root", str(path), str(path))
    path.write_text("root:4294967290:100\n")
    with pytest.raises(Invalid, match="is no range of ids"):
        parse_remap("root", str(path), str(path))


def test_a_container_may_stay_with_the_host(ranges: str) -> None:
    maps = parse_remap(_ROOT, ranges, ranges)
    assert applied(maps, HostConfig()) is maps
    assert applied(maps, HostConfig(userns_mode="host")) is None


def test_ids_outside(ranges: str) -> None:
    maps = parse_remap(_ROOT, ranges, ranges)
    assert maps is not None
    oci = maps.as_oci()["uidMappings"]
    assert map_text(oci) == "0 100000 65536\n65536 300000 10\n"
    assert (outside(oci), outside(oci, 65540)) == (100000, 300004)
    with pytest.raises(LookupError):
        outside(oci, 65546)


def test_defaults_of_the_daemon_and_what_overrides_them() -> None:
    profile = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    assert parse_options(HostConfig(), profile, True).profile == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert parse_options(HostConfig(), profile, True).no_new_privileges
    assert not parse_options(HostConfig(security_opt=["no-new-privileges=false"]), "", True).no_new_privileges
    assert parse_options(HostConfig(security_opt=["seccomp=builtin"]), profile).profile is None
    assert not parse_options(HostConfig(), "unconfined").confined
    assert parse_options(HostConfig(security_opt=["seccomp=builtin"]), "unconfined").confined
    assert not parse_options(HostConfig(privileged=True), profile).confined


def test_a_privileged_container_takes_builtin_for_a_text_as_in_docker() -> None:
    with pytest.raises(Invalid, match="invalid character 'b' looking for beginning of value"):
        parse_options(HostConfig(privileged=True, security_opt=["seccomp=builtin"]))


def test_system_paths_are_the_clients_business() -> None:
    with pytest.raises(Internal, match='invalid --security-opt 2: "systempaths=unconfined"'):
        parse_options(HostConfig(security_opt=["systempaths=unconfined"]))


def test_profiles_are_read_at_the_start(tmp_path: Path) -> None:
    assert (read_profile(""), read_profile("builtin"), read_profile("unconfined")) == ("", "", "unconfined")
    with pytest.raises(Invalid, match="no such file"):
        read_profile(str(tmp_path / "missing"))
    (tmp_path / "empty").write_text("")
    with pytest.raises(Invalid, match="unexpected end of JSON input"):
        read_profile(str(tmp_path / "empty"))


def test_a_kernel_that_cannot_map_layers_is_told_before_the_first_container(ranges: str) -> None:
    old = dataclasses.replace(probe(), kernel_release="5.15.0", idmapped_overlay=False)
    check_remap(None, old)
    with pytest.raises(Invalid, match=r"--userns-remap needs overlayfs with idmapped layers .* kernel, 5\.15\.0"):
        check_remap(parse_remap("0", ranges, ranges), old)
    check_remap(parse_remap("0", ranges, ranges), dataclasses.replace(old, idmapped_overlay=True))
