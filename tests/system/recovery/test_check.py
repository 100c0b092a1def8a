"""`wharf system check`: silent on a healthy engine, names each thing that was broken by hand, mends what is safe."""

import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd
from wharf.network.names import instance_id

pytestmark = pytest.mark.xdist_group("system-check")
STRANGER = "ab" * 32


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        started.docker("run", "-d", "--name", "web", "-p", "18077:80", "-v", "kept:/kept", "busybox", "sleep", "1000")
        started.docker("create", "--name", "idle", "busybox", "true")
        yield started


def check(daemon: Wharfd, *flags: str) -> tuple[int, list[dict[str, object]]]:
    out = subprocess.run(
        [str(ROOT / ".venv/bin/wharf"), "-H", daemon.host, "system", "check", "--format", "json", *flags],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode in (0, 1) and not out.stderr, out.stderr
    return out.returncode, json.loads(out.stdout)


def kinds(findings: list[dict[str, object]]) -> list[str]:
    return sorted({str(item["Kind"]) for item in findings})


def test_a_healthy_engine_has_no_findings(daemon: Wharfd) -> None:
    assert check(daemon) == (0, [])
    table = subprocess.run(
        [str(ROOT / ".venv/bin/wharf"), "-H", daemon.host, "system", "check"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert table.stdout == "nothing is inconsistent\n"


def mended(daemon: Wharfd, kind: str, name: str) -> None:
    """Found, mended, and not found again."""
    code, findings = check(daemon)
    assert code == 1
    assert [(item["Kind"], item["Repaired"]) for item in findings if name in str(item["Object"])] == [(kind, False)]
    assert len(findings) == 1, findings
    code, findings = check(daemon, "--repair")
    assert code == 1
    assert all(item["Repaired"] for item in findings), daemon.log()
    assert "is mended" in daemon.log()
    assert check(daemon) == (0, [])


def mended_not(daemon: Wharfd, kind: str, name: str) -> None:
    """Found, and left to a person."""
    code, findings = check(daemon, "--repair")
    assert code == 1
    assert [(item["Kind"], name in str(item["Object"]), item["Repaired"]) for item in findings] == [(kind, True, False)]


def test_files_without_records(daemon: Wharfd) -> None:
    data, run = Path(f"{daemon.root}/data"), Path(f"{daemon.root}/exec")
    idle = daemon.docker("inspect", "-f", "{{.Id}}", "idle").stdout.strip()
    active = data / "snapshots/active"
    subprocess.run(["cp", "-a", str(active / idle), str(active / STRANGER)], check=True)
    mended(daemon, "snapshot", STRANGER)
    assert not (active / STRANGER).exists()
    (data / "containers" / STRANGER).mkdir()
    mended(daemon, "container files", STRANGER)
    (run / "monitors" / STRANGER).mkdir()
    mended(daemon, "monitor", STRANGER)
    (run / "monitors" / idle).mkdir()
    mended(daemon, "monitor", idle)


def test_what_runs_and_what_is_said_of_it(daemon: Wharfd) -> None:
    run = Path(f"{daemon.root}/exec")
    web = daemon.docker("inspect", "-f", "{{.Id}}", "web").stdout.strip()
    for name in (STRANGER, daemon.docker("inspect", "-f", "{{.Id}}", "idle").stdout.strip()):
        (run / "foreign" / name).mkdir(parents=True)
        mended(daemon, "runtime state", name)
        assert not (run / "foreign" / name).exists()
    with sqlite3.connect(f"{daemon.root}/data/wharf.db") as database:
        change = "json_set(record, '$.config.hostname', 'changed')"
        database.execute(f"UPDATE containers SET record={change} WHERE id=?", (web,))
    database.close()
    mended(daemon, "container", web)
    exec_ = daemon.docker("exec", "-d", "web", "sleep", "1000")
    assert exec_.returncode == 0
    (recorded,) = (path for path in (run / "monitors" / web).glob("*.json") if path.stem != "init")
    pidfd = os.pidfd_open(monitor := json.loads(recorded.read_text())["monitor"])
    os.kill(monitor, signal.SIGKILL)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    mended(daemon, "monitor", f"{web}/{recorded.stem}")
    assert sorted(path.name for path in (run / "monitors" / web).iterdir()) == ["init", "init.json"]


@pytest.mark.skipif(
    not os.path.isdir("/sys/fs/cgroup/freezer"), reason="the freezer of version 1 has a file of its own"
)
def test_a_container_that_somebody_froze(daemon: Wharfd) -> None:
    web = daemon.docker("inspect", "-f", "{{.Id}}", "web").stdout.strip()
    place = Path(f"/sys/fs/cgroup/freezer/wharf-{instance_id(daemon.root + '/data')}/{web}/freezer.state")
    place.write_text("FROZEN")
    mended(daemon, "container", web)
    assert daemon.docker("inspect", "-f", "{{.State.Status}}", "web").stdout == "paused\n"
    daemon.docker("unpause", "web")
    assert check(daemon) == (0, [])


def test_blobs_and_the_index(daemon: Wharfd) -> None:
    blobs = Path(f"{daemon.root}/data/content/blobs/sha256")
    (blobs / STRANGER).write_bytes(b"nobody's")
    mended(daemon, "blob", STRANGER)
    index = Path(f"{daemon.root}/data/content/index.json")
    right = index.read_bytes()
    index.write_bytes(b'{"manifests":[]}')
    mended(daemon, "index.json", "index.json")
    assert index.read_bytes() == right
    strange = blobs / "notes.txt"
    strange.write_text("somebody's")
    mended_not(daemon, "file", "notes.txt")
    assert strange.read_text() == "somebody's"
    strange.unlink()
    blob = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    content = blob.read_bytes()
    os.chmod(blob, 0o600)
    blob.write_bytes(content[:-1] + b"x")
    try:
        code, findings = check(daemon, "--repair")
        assert (code, kinds(findings), findings[0]["Repaired"]) == (1, ["blob"], False)
        assert blob.name in str(findings[0]["Object"])
    finally:
        blob.write_bytes(content)
    assert check(daemon) == (0, [])


def test_volumes(daemon: Wharfd) -> None:
    volumes = Path(f"{daemon.root}/data/volumes")
    daemon.docker("volume", "create", "lost")
    shutil.rmtree(volumes / "lost")
    mended(daemon, "volume", "lost")
    assert "lost" not in daemon.docker("volume", "ls", "-q").stdout.split()
    (volumes / "found/_data").mkdir(parents=True)
    (volumes / "found/_data/file").write_text("kept")
    mended(daemon, "volume", "found")
    assert "found" in daemon.docker("volume", "ls", "-q").stdout.split()
    assert (volumes / "found/_data/file").read_text() == "kept"


def test_the_host(daemon: Wharfd) -> None:
    instance = instance_id(f"{daemon.root}/data")
    for path in Path("/sys/fs/cgroup").glob(f"*/wharf-{instance}"):
        (path / STRANGER).mkdir()
    mended(daemon, "cgroup", STRANGER)
    parent = f"wharf-test-{os.getpid()}"
    there = daemon.docker("create", "--cgroup-parent", parent, "busybox", "true").stdout.strip()
    try:
        for hierarchy in ("pids", "memory"):
            Path(f"/sys/fs/cgroup/{hierarchy}/{parent}/{there}").mkdir(parents=True)
        mended(daemon, "cgroup", there)
    finally:
        for path in (*Path("/sys/fs/cgroup").glob(f"*/{parent}/{there}"), *Path("/sys/fs/cgroup").glob(f"*/{parent}")):
            path.rmdir()
        daemon.docker("rm", there)
    veth = f"w{instance}-stranger"[:15]
    subprocess.run([*daemon.enter, "ip", "link", "add", veth, "type", "veth"], check=True)
    mended(daemon, "link", veth)
    key = "tcp . 4242"
    element = f"add element inet wharf-{instance} published {{ {key} : 10.9.9.9 . 80 }}"
    subprocess.run([*daemon.enter, "nft", element], check=True)
    mended(daemon, "nft element", key)
    subprocess.run(
        [*daemon.enter, "nft", f"delete element inet wharf-{instance} published {{ tcp . 18077 }}"], check=True
    )
    mended(daemon, "nft element", "tcp . 18077")


def test_what_a_container_stands_on(daemon: Wharfd) -> None:
    idle = daemon.docker("inspect", "-f", "{{.Id}}", "idle").stdout.strip()
    committed = Path(f"{daemon.root}/data/snapshots/committed")
    (init,) = (path for path in committed.iterdir() if path.name.endswith(".init"))
    init.rename(f"{daemon.root}/init")
    code, findings = check(daemon, "--repair")
    found = [(item["Kind"], "what it stands on is gone: the mount points" in str(item["Problem"])) for item in findings]
    assert (code, found) == (1, [("container", True)] * 2)
    assert idle in {item["Object"] for item in findings}
    assert check(daemon) == (0, [])
    assert (init / "fs/etc/resolv.conf").exists()


def test_a_record_without_files_needs_a_person(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "hollow", "busybox", "true")
    identity = daemon.docker("inspect", "-f", "{{.Id}}", "hollow").stdout.strip()
    shutil.rmtree(f"{daemon.root}/data/snapshots/active/{identity}")
    code, findings = check(daemon, "--repair")
    assert (code, kinds(findings), findings[0]["Repaired"]) == (1, ["container"], False)
    daemon.docker("rm", "hollow")
    assert check(daemon) == (0, [])


def test_it_is_silent_beside_starts_and_removals(daemon: Wharfd) -> None:
    """What is being made or taken away is no finding."""
    line = "i=0; while [ $i -lt 12 ]; do docker run --rm -p 18078:80 busybox true || exit 1; i=$((i+1)); done"
    from tests.support.wharfd import docker_client

    environment = {**daemon.environment, "PATH": f"{os.path.dirname(docker_client())}:{os.environ['PATH']}"}
    work = subprocess.Popen(["sh", "-c", line], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    rounds = 0
    while work.poll() is None:
        code, findings = check(daemon)
        assert not findings and code == 0, f"round {rounds}: {findings}"
        rounds += 1
    assert work.returncode == 0, work.communicate()[0]
    assert rounds > 0


def test_other_methods_are_not_there(daemon: Wharfd) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(b"DELETE /wharf/v1/system/check HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 404"


def test_a_bridge_without_a_network_and_a_network_without_a_bridge(daemon: Wharfd) -> None:
    made = daemon.docker("network", "create", "lone").stdout.strip()
    mark = subprocess.run(
        [*daemon.enter, "ip", "-j", "link", "show", f"br-{made[:12]}"], capture_output=True, text=True, check=True
    )
    alias = json.loads(mark.stdout)[0]["ifalias"]
    ip = [*daemon.enter, "ip", "link"]
    subprocess.run([*ip, "add", "br-stray", "type", "bridge"], check=True)
    subprocess.run([*ip, "set", "br-stray", "alias", alias.replace(made, STRANGER)], check=True)
    mended(daemon, "link", "br-stray")
    subprocess.run([*ip, "del", f"br-{made[:12]}"], check=True)
    mended(daemon, "network", "lone")
    daemon.docker("run", "--rm", "--network", "lone", "busybox", "true")
    daemon.docker("network", "rm", "lone")


def test_a_row_that_cannot_be_read_stops_nothing_and_loses_nothing(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "torn", "-v", "tornvol:/etc", "busybox", "echo", "here")
    identity = daemon.docker("inspect", "-f", "{{.Id}}", "torn").stdout.strip()
    daemon.kill()
    rows = {("containers", "id", identity): "", ("volumes", "name", "tornvol"): ""}
    with sqlite3.connect(f"{daemon.root}/data/wharf.db") as database:
        for table, key, value in rows:
            (rows[table, key, value],) = database.execute(
                f"SELECT record FROM {table} WHERE {key}=?", (value,)
            ).fetchone()
            database.execute(f"UPDATE {table} SET record='{{\"id\":' WHERE {key}=?", (value,))
    database.close()
    daemon.start()
    assert "torn" not in daemon.docker("ps", "-a").stdout and "web" in daemon.docker("ps").stdout
    assert identity in daemon.log()
    code, findings = check(daemon, "--repair")
    named = {(str(item["Object"]), item["Repaired"]) for item in findings if item["Kind"] == "row"}
    assert code == 1 and len(findings) == 2, findings
    assert named == {(f"containers {identity}", False), ("volumes tornvol", False)}
    daemon.kill()
    with sqlite3.connect(f"{daemon.root}/data/wharf.db") as database:
        for (table, key, value), text in rows.items():
            database.execute(f"UPDATE {table} SET record=? WHERE {key}=?", (text, value))
    database.close()
    daemon.start()
    assert daemon.docker("start", "-a", "torn").stdout == "here\n"
    daemon.docker("rm", "-v", "torn")
    daemon.docker("volume", "rm", "tornvol")
    assert check(daemon) == (0, [])
