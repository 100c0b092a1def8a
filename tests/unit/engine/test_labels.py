"""SELinux labels as Docker computes them, for a host that says SELinux; none of this project's machines has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wharf.engine.labels import inherited, init_labels, labelled_root, put_labels
from wharf.engine.oci_spec import Found, build_spec
from wharf.engine.security import Security, parse_options
from wharf.errors import Internal
from wharf.kernel.lsm import selinux
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig
from wharf.spec.mount import Mount, Overlay

POLICY = ("system_u:system_r:container_t:s0", "system_u:object_r:container_file_t:s0")


def container_record(security_opt: list[str]) -> ContainerRecord:
    host = HostConfig(network_mode="bridge", ipc_mode="private", security_opt=security_opt, tmpfs={"/t": "size=1m"})
    return ContainerRecord("f" * 64, "name", "", "sha256:", ContainerConfig(hostname="h"), host, path="sh")


def labels(*options: str) -> tuple[str, str]:
    return init_labels(options, POLICY)


def test_both_labels_of_a_container_have_one_level_of_its_own() -> None:
    process, files = labels()
    assert process.startswith("system_u:system_r:container_t:s0:c")
    assert files.startswith("system_u:object_r:container_file_t:s0:c")
    level = selinux.Label.parse(process).level
    assert level == selinux.Label.parse(files).level
    first, second = (int(part.strip("c")) for part in level.removeprefix("s0:").split(","))
    assert 0 <= first < second < 1024
    assert len({labels()[0] for _ in range(50)}) > 40


def test_levels_in_use_are_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([1, 2, 2, 1, 7, 7, 3, 2])
    monkeypatch.setattr(selinux.secrets, "randbelow", lambda _: next(numbers))
    assert init_labels([], POLICY, ["u:r:t:s0:c1,c2", ""])[0].endswith(":s0:c2,c3")


@pytest.mark.parametrize(
    ("options", "process", "files"),
    [
        (["level:s0:c100,c200"], "system_u:system_r:container_t:s0:c100,c200",
         "system_u:object_r:container_file_t:s0:c100,c200"),
        (["type:svirt_apache_t", "level:s0:c1,c2"], "system_u:system_r:svirt_apache_t:s0:c1,c2",
         "system_u:object_r:container_file_t:s0:c1,c2"),
        (["user:staff_u", "level:s0"], "staff_u:system_r:container_t:s0", "staff_u:object_r:container_file_t:s0"),
        (["role:staff_r", "level:s0"], "system_u:staff_r:container_t:s0", "system_u:object_r:container_file_t:s0"),
        (["filetype:ro_file_t", "level:s0"], "system_u:system_r:container_t:s0", "system_u:object_r:ro_file_t:s0"),
        (["disable"], "", "system_u:object_r:container_file_t:s0:c1022,c1023"),
        (["type:x", "disable"], "", "system_u:object_r:container_file_t:s0:c1022,c1023"),
    ],
)  # fmt: skip
def test_options(options: list[str], process: str, files: str) -> None:
    assert labels(*options) == (process, files)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("nonsense", "bad label option \"nonsense\", valid options 'disable' or \n'user, role, level, type, filetype' "
         "followed by ':' and a value"),
        ("colour:red", "bad label option \"colour\", valid options 'disable, user, role, level, type, filetype'"),
    ],
)  # fmt: skip
def test_what_is_no_option(option: str, text: str) -> None:
    with pytest.raises(Internal) as raised:
        labels(option)
    assert raised.value.message == text


def test_a_policy_without_labels_for_containers_labels_nothing() -> None:
    assert init_labels(["type:x"], ("", "")) == ("", "")


def test_the_policy_is_read_where_distributions_put_it(tmp_path: Path) -> None:
    assert selinux.policy_labels(str(tmp_path)) == ("", "")
    (tmp_path / "etc/selinux/mls/contexts").mkdir(parents=True)
    (tmp_path / "etc/selinux/config").write_text("# SELINUXTYPE=minimum\nSELINUX=enforcing\nSELINUXTYPE=mls\n")
    text = f'process = "{POLICY[0]}"\ncontent = "x"\nfile = "{POLICY[1]}"\n'
    (tmp_path / "etc/selinux/mls/contexts/lxc_contexts").write_text(text)
    assert selinux.policy_labels(str(tmp_path)) == POLICY
    (tmp_path / "usr/share/containers/selinux").mkdir(parents=True)
    (tmp_path / "usr/share/containers/selinux/contexts").write_text('process = "a:b:c:s0"\nfile = "d:e:f:s0"\n')
    assert selinux.policy_labels(str(tmp_path)) == ("a:b:c:s0", "d:e:f:s0")


def engine_with(*others: tuple[str, str], policy: tuple[str, str] | None = POLICY) -> Any:
    """An engine on a host with SELinux; `others`: names of containers and their process labels."""
    containers = {name: SimpleNamespace(record=SimpleNamespace(process_label=label)) for name, label in others}

    class Containers:
        def __iter__(self) -> Any:
            return iter(containers.values())

        def live(self, name: str) -> Any:
            return containers[name]

    return SimpleNamespace(selinux=policy, containers=Containers())


def test_who_shares_with_another_has_its_label() -> None:
    label = "system_u:system_r:container_t:s0:c5,c6"
    engine = engine_with(("one", label), ("two", label.replace("c6", "c7")), ("free", ""))
    wanted = ["label=user:system_u", "label=role:system_r", "label=type:container_t", "label=level:s0:c5,c6"]
    assert inherited(engine, HostConfig(pid_mode="container:one")) == wanted
    assert inherited(engine, HostConfig(ipc_mode="container:one")) == wanted
    assert inherited(engine, HostConfig(ipc_mode="container:one", pid_mode="container:one")) == wanted
    assert inherited(engine, HostConfig(ipc_mode="container:free")) == []
    assert inherited(engine, HostConfig(pid_mode="container:one", security_opt=["label=type:x"])) == []
    with pytest.raises(Internal, match="--ipc and --pid containers SELinux labels aren't the same"):
        inherited(engine, HostConfig(ipc_mode="container:one", pid_mode="container:two"))


def test_labels_reach_the_record_the_specification_and_every_mount() -> None:
    record = container_record(security_opt=["label=level:s0:c1,c2"])
    put_labels(engine_with(), record)
    assert record.process_label == "system_u:system_r:container_t:s0:c1,c2"
    spec = build_spec(record, Found([], Security()))
    assert spec["process"]["selinuxLabel"] == record.process_label
    assert spec["linux"]["mountLabel"] == record.mount_label
    context = f'context="{record.mount_label}"'
    with_context = {item["type"] for item in spec["mounts"] if context in item["options"]}
    assert with_context == {"tmpfs", "devpts"}
    assert all(context in item["options"] for item in spec["mounts"] if item["type"] in with_context)
    root = labelled_root(Mount("overlay", overlay=Overlay(("/l",), "/u", "/w", ("xino=off",))), record.mount_label)
    assert root.overlay is not None and root.overlay.options == ("xino=off", context)


def test_without_selinux_options_are_taken_and_mean_nothing() -> None:
    record = container_record(security_opt=["label=level:s0:c1,c2", "label=nonsense", "disable"])
    put_labels(engine_with(policy=None), record)
    assert (record.process_label, record.mount_label) == ("", "")
    parse_options(record.host_config)
    spec = build_spec(record, Found([], Security()))
    assert "selinuxLabel" not in spec["process"] and "mountLabel" not in spec["linux"]
    mount = Mount("overlay", overlay=Overlay(("/l",)))
    assert labelled_root(mount, "") is mount


@pytest.mark.parametrize("path", ["/", "/etc", "/usr/", "/var/lib", "/root"])
def test_the_hosts_own_directories_keep_their_labels(path: str) -> None:
    with pytest.raises(PermissionError, match=r"SELinux relabeling of .* is not allowed"):
        selinux.relabel(path, POLICY[1], shared=False)
