"""What cannot be built: the same words through POST /build and `wharf build`, no image, and the line at fault."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import docker
import docker.errors
import pytest

from tests.support.wharfd import ROOT, Wharfd, docker_client
from tests.system.build.refusals import BASE, REFUSALS, Refusal

WAYS = {"docker": [docker_client(), "build"], "wharf": [str(ROOT / ".venv/bin/wharf"), "build"]}
NAME = "refused:1"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("context")
    (root / "f").write_text("file")
    (root / "d/f/g").mkdir(parents=True)
    (root / "hidden").write_text("hidden")
    (root / "out").symlink_to("/etc/hostname")
    (root / "outdir").symlink_to("../../../../../../../../etc")
    (root / "loop").symlink_to("loop")
    (root / ".dockerignore").write_text("hidden\n")
    return root


def build(daemon: Wharfd, way: str, root: Path, text: str, *flags: str) -> subprocess.CompletedProcess[str]:
    (root / "Dockerfile").write_text(text)
    environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
    command = [*WAYS[way], "-t", NAME, *flags, str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("refusal", REFUSALS, ids=[refusal.name for refusal in REFUSALS])
def test_refused(daemon: Wharfd, context: Path, refusal: Refusal, way: str) -> None:
    done = build(daemon, way, context, refusal.text, *refusal.flags)
    told = done.stdout + done.stderr
    assert done.returncode != 0, told
    assert refusal.words in told
    assert "Traceback" not in told and "Internal" not in told
    assert daemon.docker("images", "-q", NAME).stdout == ""
    if way == "wharf" and refusal.line:
        assert f"\nDockerfile:{refusal.line}\n" in done.stderr or f"on line {refusal.line}" in done.stderr, told


def test_a_dockerfile_of_ten_megabytes(daemon: Wharfd, context: Path) -> None:
    comments = BASE + ("# " + "x" * 1000 + "\n") * 10_000
    for way in WAYS:
        assert build(daemon, way, context, comments + "LABEL a=b\n").returncode == 0
        done = build(daemon, way, context, comments + "RUNN x\n")
        assert done.returncode == 1 and "on line 10002: unknown instruction: RUNN" in done.stderr
    daemon.docker("rmi", NAME)


def test_a_million_instructions(daemon: Wharfd, context: Path) -> None:
    for way in WAYS:
        done = build(daemon, way, context, BASE + "ENV a=$b\n" * 1_000_000)
        assert done.returncode == 1 and "the Dockerfile has more than 200000 instructions" in done.stderr
        done = build(daemon, way, context, BASE + "ENV a=$b\n" * 10_001)
        assert done.returncode == 1 and "a stage has more than 10000 instructions" in done.stderr


def test_ten_thousand_stages(daemon: Wharfd, context: Path) -> None:
    text = "FROM busybox AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nLABEL l={n}\n" for n in range(9_999))
    done = build(daemon, "wharf", context, text)
    assert done.returncode == 0, done.stderr
    labels = json.loads(daemon.docker("inspect", NAME).stdout)[0]["Config"]["Labels"]
    assert labels == {"l": "9998"}
    daemon.docker("rmi", NAME)
    done = build(daemon, "wharf", context, text + "FROM s1\n")
    assert "the Dockerfile has more than 10000 stages" in done.stderr and "Dockerfile:20000\n" in done.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "d/Other"])
def test_no_dockerfile_in_an_archive(daemon: Wharfd, name: str) -> None:
    """Status and words as Docker 28.5.2 was seen to answer; its client looks for the file itself."""
    archive = io.BytesIO()
    tarfile.open(fileobj=archive, mode="w").close()
    client = docker.APIClient(daemon.host, version="1.51")
    with pytest.raises(docker.errors.APIError) as error:
        list(client.build(fileobj=io.BytesIO(archive.getvalue()), custom_context=True, dockerfile=name))
    client.close()
    assert error.value.response.status_code == 500
    assert error.value.explanation == f"Cannot locate specified Dockerfile: {name}"
