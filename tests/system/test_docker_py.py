"""The Docker SDK for Python, unmodified, against wharfd: a second client that reads the API in its own way."""

import io
import tarfile
import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with Wharfd() as daemon:
        daemon.load_busybox()
        made = docker.DockerClient(base_url=daemon.host, timeout=30)
        yield made
        made.close()


@pytest.fixture
def sleeper(client: Any) -> Iterator[Any]:
    script = "echo out; echo err >&2; exec sleep 300"
    container = client.containers.run(
        "busybox", ["sh", "-c", script], detach=True, labels={"a": "b"}, ports={"80/tcp": None}
    )
    yield container
    container.remove(force=True, v=True)


def archive(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def test_the_daemon_tells_about_itself(client: Any) -> None:
    assert client.ping() is True
    assert client.version()["ApiVersion"] == "1.51" and client.version()["MinAPIVersion"] == "1.24"
    assert client.info()["OSType"] == "linux"
    assert {network.name for network in client.networks.list()} == {"bridge", "host", "none"}
    assert client.networks.list(filters={"type": "custom"}) == []


def test_run_and_its_output(client: Any) -> None:
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 5"], remove=True, stderr=True)
    assert caught.value.exit_status == 5


def test_inspect_has_what_the_client_reads(sleeper: Any) -> None:
    sleeper.reload()
    assert sleeper.status == "running" and sleeper.attrs["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert [binding["HostIp"] for binding in sleeper.ports["80/tcp"]] == ["0.0.0.0", "::"]
    assert sleeper.attrs["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
    assert sleeper.top()["Titles"][0] == "UID"
    assert sleeper.stats(stream=False)["memory_stats"]["usage"] > 0


def test_logs(sleeper: Any) -> None:
    lines = sleeper.logs(stream=True, follow=True)
    assert {next(lines), next(lines)} == {b"out\n", b"err\n"}
    lines.close()
    assert sleeper.logs(stdout=False) == b"err\n" and sleeper.logs(tail=0) == b""


def test_exec_in_all_its_forms(sleeper: Any) -> None:
    result = sleeper.exec_run(["sh", "-c", "echo a; echo b >&2; exit 3"], demux=True)
    assert (result.exit_code, result.output) == (3, (b"a\n", b"b\n"))
    stream = sleeper.exec_run("cat", stdin=True, socket=True).output
    stream._sock.sendall(b"hello")
    stream._sock.shutdown(1)
    assert stream.read(13) == b"\x01\x00\x00\x00\x00\x00\x00\x05hello" and stream.read(1) == b""
    stream.close()
    assert sleeper.exec_run("tty", tty=True).output.startswith(b"/dev/pts/")


def test_files_in_and_out(sleeper: Any) -> None:
    assert sleeper.put_archive("/tmp", archive("f", b"abc"))
    chunks, stat = sleeper.get_archive("/tmp/f")
    assert stat["size"] == 3
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile("f")
        assert member is not None and member.read() == b"abc"
    assert {"Path": "/tmp/f", "Kind": 1} in sleeper.diff()


def test_commit_save_and_load(client: Any, sleeper: Any) -> None:
    sleeper.put_archive("/root", archive("kept", b"kept"))
    image = sleeper.commit("made", "1")
    try:
        assert client.containers.run("made:1", "cat /root/kept", remove=True) == b"kept"
        saved = b"".join(image.save(named=True))
        client.images.remove("made:1")
        (loaded,) = client.images.load(saved)
        assert loaded.id == image.id and loaded.tags == ["made:1"]
    finally:
        client.images.remove("made:1", force=True)


def test_events_wait_and_the_life_of_a_container(client: Any) -> None:
    container = client.containers.create("busybox", "sleep 300", name="life")
    seen: list[str] = []
    events = client.events(decode=True, filters={"container": "life"})
    ended = threading.Event()

    def watch() -> None:
        for event in events:
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                break
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    container.start()
    container.pause()
    container.unpause()
    results: list[Any] = []
    waiter = threading.Thread(target=lambda: results.append(container.wait()))
    waiter.start()
    container.kill("SIGKILL")
    waiter.join(20)
    container.rename("life-two")
    container.restart(timeout=0)
    container.stop(timeout=0)
    container.remove()
    assert results and results[0]["StatusCode"] == 137
    assert ended.wait(20)
    wanted = ["start", "pause", "unpause", "kill", "die", "rename", "destroy"]
    assert [action for action in wanted if action in seen] == wanted


def test_errors_have_dockers_words(client: Any) -> None:
    with pytest.raises(NotFound, match="No such container: nope"):
        client.containers.get("nope")
    with pytest.raises(docker.errors.ImageNotFound):
        client.containers.create("nope:1")
    with pytest.raises(APIError, match=r"registry-1\.docker\.io") as caught:  # no network leads there
        client.images.pull("alpine", tag="3")
    assert caught.value.status_code == 500
    with pytest.raises(APIError, match="not a swarm manager") as caught:
        client.services.list()
    assert caught.value.status_code == 503


def test_volumes(client: Any) -> None:
    volume = client.volumes.create("sdk-volume", labels={"x": "y"})
    out = client.containers.run(
        "busybox", ["sh", "-c", "echo 1 > /v/f; cat /v/f"], remove=True, volumes={"sdk-volume": {"bind": "/v"}}
    )
    assert out == b"1\n"
    assert [item.name for item in client.volumes.list(filters={"label": "x=y"})] == ["sdk-volume"]
    volume.remove()
    with pytest.raises(NotFound):
        client.volumes.get("sdk-volume")


def test_networks(client: Any) -> None:
    pools = [docker.types.IPAMPool(subnet="10.93.0.0/24", gateway="10.93.0.254", aux_addresses={"kept": "10.93.0.2"})]
    network = client.networks.create(
        "py", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=pools), labels={"a": ""}
    )
    with pytest.raises(APIError, match="already exists") as caught:
        client.networks.create("py", check_duplicate=True)
    assert caught.value.status_code == 409
    box = client.containers.run("busybox", ["sleep", "300"], detach=True, network="py")
    try:
        network.reload()
        assert [item.id for item in network.containers] == [box.id]
        box.reload()
        assert box.attrs["NetworkSettings"]["Networks"]["py"]["IPAddress"] == "10.93.0.1"
        with pytest.raises(APIError, match="active endpoints") as caught:
            network.remove()
        assert caught.value.status_code == 403
        network.disconnect(box)
        network.connect(box, ipv4_address="10.93.0.77", aliases=["seven"])
        box.reload()
        found = box.attrs["NetworkSettings"]["Networks"]["py"]
        assert found["IPAddress"] == "10.93.0.77" and "seven" in found["DNSNames"]
        assert [item.name for item in client.networks.list(names=["py"], filters={"label": "a"})] == ["py"]
    finally:
        box.remove(force=True)
    assert client.networks.prune()["NetworksDeleted"] == ["py"]
    with pytest.raises(NotFound):
        client.networks.get("py")
