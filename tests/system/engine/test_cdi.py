"""Devices by name (CDI): descriptions in JSON and YAML, a made-up device, Docker's words for what is not there."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd

TOY = {
    "cdiVersion": "0.7.0",
    "kind": "wharf.example/toy",
    "containerEdits": {"env": ["TOYS=all"]},
    "devices": [
        {
            "name": "one",
            "containerEdits": {
                "env": ["TOY=one"],
                "deviceNodes": [
                    {
                        "path": "/dev/toy",
                        "hostPath": "/dev/full",
                        "permissions": "rw",
                        "fileMode": 432,
                        "uid": 5,
                        "gid": 6,
                    }
                ],
                "additionalGids": [77],
            },
        },
        {"name": "rdt", "containerEdits": {"intelRdt": {"closID": "one"}}},
        {"name": "gone", "containerEdits": {"deviceNodes": [{"path": "/dev/nosuchnode"}]}},
    ],
}
GPU = """
cdiVersion: 0.6.0
kind: wharf.example/gpu
devices:
- name: "0"
  containerEdits:
    env: [GPU0=yes]
    mounts:
    - {hostPath: %s, containerPath: /driver, options: [ro, nosuid]}
- name: "1"
  containerEdits: {env: [GPU1=yes]}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wharfd]:
    place = tmp_path_factory.mktemp("cdi")
    (place / "driver").mkdir()
    (place / "driver/lib").write_text("of the driver")
    (place / "toy.json").write_text(json.dumps(TOY))
    (place / "gpu.yaml").write_text(GPU % (place / "driver"))
    (place / "bad.json").write_text("{bad")
    (place / "other.txt").write_text("not looked at")
    with Wharfd("--cdi-spec-dir", str(place)) as running:
        running.load_busybox()
        yield running


def run(daemon: Wharfd, *words: str) -> str:
    out = daemon.docker("run", "--rm", "--network", "none", *words, check=False)
    return out.stdout + out.stderr


def test_a_device_by_name(daemon: Wharfd) -> None:
    script = "env; stat -c '%t:%T %a %u:%g' /dev/toy; id -G; echo x > /dev/toy"
    said = run(daemon, "--device", "wharf.example/toy=one", "-e", "TOY=mine", "busybox", "sh", "-c", script)
    assert "TOY=one\n" in said and "TOYS=all\n" in said and "TOY=mine" not in said
    assert "1:7 660 5:6\n" in said and " 77" in said, "the node is /dev/full's, with mode and owner of the description"
    assert "No space left" in said, "and the device cgroup lets it be written"


def test_gpus(daemon: Wharfd) -> None:
    script = "env | grep GPU | sort; cat /driver/lib; touch /driver/x"
    said = run(daemon, "--gpus", "all", "busybox", "sh", "-c", script)
    assert said.startswith("GPU0=yes\nGPU1=yes\nof the driver") and "Read-only" in said
    assert run(daemon, "--gpus", "1", "busybox", "sh", "-c", "env | grep GPU") == "GPU0=yes\n"
    assert run(daemon, "--gpus", "device=1", "busybox", "sh", "-c", "env | grep GPU") == "GPU1=yes\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--device", "wharf.example/toy=two"],
            "CDI device injection failed: unresolvable CDI devices wharf.example/toy=two",
        ),
        (
            ["--device", "wharf.example/toy=gone"],
            "CDI device injection failed: failed to inject devices: failed to stat CDI host device "
            '"/dev/nosuchnode": no such file or directory',
        ),
        (["--device", "wharf.example/toy=rdt"], "CDI device wharf.example/toy=rdt needs intelRdt: not there yet"),
        (["--gpus", "driver=cdi"], "unexpected count in CDI device request"),
        (["--gpus", "driver=foo,count=2"], 'could not select device driver "foo" with capabilities: [[gpu]]'),
        (["--gpus", "driver=nvidia"], 'could not select device driver "nvidia" with capabilities: [[gpu]]'),
    ],
)
def test_what_cannot_be_had(daemon: Wharfd, words: list[str], told: str) -> None:
    assert f"Error response from daemon: {told}\n" in run(daemon, *words, "busybox", "true")


def test_info_lists_devices_and_what_is_wrong(daemon: Wharfd) -> None:
    found = json.loads(daemon.docker("info", "-f", "{{json .}}").stdout)
    assert found["CDISpecDirs"] == [daemon.flags[1]]
    names = [f"wharf.example/{name}" for name in ("gpu=0", "gpu=1", "toy=gone", "toy=one", "toy=rdt")]
    assert found["DiscoveredDevices"] == [{"Source": "cdi", "ID": name} for name in names]
    assert [line for line in found["Warnings"] if "bad.json: failed to load CDI Spec failed to parse" in line]


def test_the_request_is_shown(daemon: Wharfd) -> None:
    made = daemon.docker("create", "--device", "wharf.example/toy=one", "busybox").stdout.strip()
    shown = json.loads(daemon.docker("inspect", made, "-f", "{{json .HostConfig.DeviceRequests}}").stdout)
    daemon.docker("rm", made)
    assert shown == [
        {"Driver": "cdi", "Count": 0, "DeviceIDs": ["wharf.example/toy=one"], "Capabilities": None, "Options": None}
    ]


# What a vendor's hook does: find the container's root by the state it is given, and link what was bound there.
LINKER = """
import json, os, sys
state = json.load(sys.stdin)
config = json.load(open(state["bundle"] + "/config.json"))
root = os.path.join(state["bundle"], config["root"]["path"])
os.symlink("libtoy.so.1", root + "/etc/libtoy.so")
print(state["status"], sorted(os.listdir(root + "/driver")), file=open(sys.argv[1], "a"))
"""


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wharfd, Path]]:
    """A daemon that knows `wharf.example/hook=…`, and the file that its hooks write to."""
    place = tmp_path_factory.mktemp("hooks")
    (place / "link.py").write_text(LINKER)
    (place / "driver").mkdir()
    (place / "driver/libtoy.so.1").touch()
    said = place / "said"

    def shell(point: str, script: str, **more: object) -> dict[str, object]:
        return {"hookName": point, "path": "/bin/sh", "args": ["sh", "-c", script], **more}

    points = ("prestart", "createRuntime", "poststart", "poststop")
    link = {"hookName": "createContainer", "path": sys.executable,
            "args": ["python", str(place / "link.py"), str(said)]}  # fmt: skip
    driver = {"hostPath": str(place / "driver"), "containerPath": "/driver", "options": ["ro"]}
    whole = {"mounts": [driver], "hooks": [shell(point, f"echo {point} >> {said}") for point in points]}
    whole["hooks"] += [link, shell("startContainer", "echo $TOY > /tmp/started", env=["TOY=yes"])]
    devices = {
        "whole": whole,
        "fails": {"hooks": [shell("createContainer", "echo out; echo no driver >&2; exit 3")]},
        "slow": {"hooks": [shell("createContainer", "exec sleep 60", timeout=1)]},
        "missing": {"hooks": [{"hookName": "createContainer", "path": "/no/such"}]},
    }
    listed = [{"name": name, "containerEdits": edits} for name, edits in devices.items()]
    (place / "hook.json").write_text(
        json.dumps({"cdiVersion": "0.7.0", "kind": "wharf.example/hook", "devices": listed})
    )
    bad = {"cdiVersion": "0.7.0", "kind": "wharf.example/bad",
           "devices": [{"name": "one", "containerEdits": {"hooks": [shell("nosuch", "true")]}}]}  # fmt: skip
    (place / "bad.json").write_text(json.dumps(bad))
    with Wharfd("--cdi-spec-dir", str(place)) as running:
        running.load_busybox()
        yield running, said


def test_hooks_of_a_device_run_at_their_points(hooked: tuple[Wharfd, Path]) -> None:
    daemon, said = hooked
    device = ("--device", "wharf.example/hook=whole")
    daemon.docker("run", "-d", "--name", "toys", "--network", "none", *device, "busybox", "sleep", "1000")
    daemon.kill()
    daemon.start()
    seen = daemon.docker("exec", "toys", "sh", "-c", "readlink /etc/libtoy.so; cat /tmp/started; ls /driver").stdout
    assert seen == "libtoy.so.1\nyes\nlibtoy.so.1\n"
    daemon.docker("rm", "-f", "toys")
    assert said.read_text().splitlines() == [
        "prestart", "createRuntime", "creating ['libtoy.so.1']", "poststart", "poststop",
    ]  # fmt: skip
    assert os.listdir(f"{daemon.root}/exec/foreign") == os.listdir(f"{daemon.root}/exec/monitors") == []


@pytest.mark.parametrize(
    ("name", "told", "code"),
    [
        ("fails", "error running createContainer hook #0: exit status 3, stdout: out\n, stderr: no driver\n", 125),
        ("slow", "error running createContainer hook #0: hook ran past specified timeout of 1.0s\n", 125),
        ("missing", "error running createContainer hook #0: fork/exec /no/such: no such file or directory\n", 127),
    ],
)
def test_a_hook_that_fails_ends_the_start(hooked: tuple[Wharfd, Path], name: str, told: str, code: int) -> None:
    daemon, _ = hooked
    device = f"wharf.example/hook={name}"
    out = daemon.docker("run", "--rm", "--network", "none", "--device", device, "busybox", "true", check=False)
    assert f"error during container init: {told}" in out.stderr and out.returncode == code
    assert os.listdir(f"{daemon.root}/exec/foreign") == os.listdir(f"{daemon.root}/exec/monitors") == []


def test_a_hook_of_no_point_spoils_its_file(hooked: tuple[Wharfd, Path]) -> None:
    found = json.loads(hooked[0].docker("info", "-f", "{{json .Warnings}}").stdout)
    words = 'invalid CDI Spec: failed add device "one": invalid device "one": invalid hook name "nosuch"'
    assert [line for line in found if line.endswith(f"bad.json: failed to load CDI Spec {words}")]


def test_without_descriptions_there_is_no_gpu(tmp_path: Path) -> None:
    with Wharfd("--cdi-spec-dir", str(tmp_path)) as bare:
        bare.load_busybox()
        words = 'could not select device driver "" with capabilities: [[gpu]]'
        assert words in run(bare, "--gpus", "all", "busybox", "true")
