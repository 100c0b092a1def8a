"""Devices by name (CDI): descriptions in JSON and YAML, a made-up device, Docker's words for what is not there."""

import json
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
        {"name": "hooked", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}},
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
        (["--device", "wharf.example/toy=hooked"], "CDI device wharf.example/toy=hooked needs hooks: not there yet"),
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
    names = [f"wharf.example/{name}" for name in ("gpu=0", "gpu=1", "toy=gone", "toy=hooked", "toy=one")]
    assert found["DiscoveredDevices"] == [{"Source": "cdi", "ID": name} for name in names]
    assert [line for line in found["Warnings"] if "bad.json: failed to load CDI Spec failed to parse" in line]


def test_the_request_is_shown(daemon: Wharfd) -> None:
    made = daemon.docker("create", "--device", "wharf.example/toy=one", "busybox").stdout.strip()
    shown = json.loads(daemon.docker("inspect", made, "-f", "{{json .HostConfig.DeviceRequests}}").stdout)
    daemon.docker("rm", made)
    assert shown == [
        {"Driver": "cdi", "Count": 0, "DeviceIDs": ["wharf.example/toy=one"], "Capabilities": None, "Options": None}
    ]


def test_without_descriptions_there_is_no_gpu(tmp_path: Path) -> None:
    with Wharfd("--cdi-spec-dir", str(tmp_path)) as bare:
        bare.load_busybox()
        words = 'could not select device driver "" with capabilities: [[gpu]]'
        assert words in run(bare, "--gpus", "all", "busybox", "true")
