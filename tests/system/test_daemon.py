"""wharfd as a process: its sockets, its pid file, what it refuses, how it ends."""

import os
import subprocess
import time
from pathlib import Path

from tests.support.wharfd import ROOT, Wharfd

WHARFD = str(ROOT / ".venv/bin/wharfd")
LIMIT = 30


def refused(*flags: str) -> str:
    """What a daemon says that must not start."""
    out = subprocess.run(["unshare", "-n", WHARFD, *flags], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert out.returncode == 1 and "Traceback" not in out.stderr
    return out.stderr


def test_a_daemon_is_alone_on_its_socket_pid_file_and_data_root(tmp_path: Path) -> None:
    other = ["--data-root", f"{tmp_path}/d", "--exec-root", f"{tmp_path}/e"]
    with Wharfd() as daemon:
        free = f"unix://{tmp_path}/s"
        assert "another daemon listens there" in refused(*other, "-H", free, "-H", daemon.host)
        assert not (tmp_path / "s").exists() and not (tmp_path / "d").exists()
        assert "is still running" in refused(*other, "-H", free, "--pidfile", f"{daemon.root}/pid")
        root = ["--data-root", f"{daemon.root}/data", "--exec-root", f"{tmp_path}/e"]
        assert "is in use by another daemon" in refused(*root, "-H", free)
        assert daemon.docker("ps").returncode == 0


def test_sigterm_stops_containers_where_they_shall_not_outlive_it_and_leaves_no_file(tmp_path: Path) -> None:
    with Wharfd("--shutdown-timeout", "2", "--live-restore=false") as daemon:
        daemon.load_busybox()
        daemon.docker("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
        assert daemon.stop() == 0
        assert not os.path.exists(daemon.socket) and not os.path.exists(f"{daemon.root}/pid")
        daemon.start()
        state = daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "stays").stdout
        assert state == "exited 137\n"


def test_a_private_daemon_ends_when_idle_and_not_before() -> None:
    with Wharfd("--idle-timeout", "3") as daemon:
        daemon.load_busybox()
        daemon.docker("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
        time.sleep(5)  # longer than the idle time: that it is still there is the point
        daemon.docker("rm", "-f", "busy")
        assert daemon.process is not None and daemon.process.wait(LIMIT) == 0


def test_several_sockets_and_loopback_tcp(tmp_path: Path) -> None:
    with Wharfd("-H", f"unix://{tmp_path}/second", "-H", "tcp://127.0.0.1:23751") as daemon:
        for host in (f"unix://{tmp_path}/second", "tcp://127.0.0.1:23751"):
            command = [*daemon.enter, "docker", "-H", host, "version", "-f", "{{.Server.APIVersion}}"]
            out = subprocess.run(command, capture_output=True, text=True, check=False)
            assert out.stdout == "1.51\n", out.stderr


def test_a_daemon_starts_small() -> None:
    with Wharfd() as daemon:
        assert daemon.process is not None
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        assert kilobytes < 60 * 1024


def test_what_containers_get_that_do_not_say_otherwise() -> None:
    """All of the daemon's defaults in one container; another names its own."""
    parent = f"/wharf-defaults-{os.getpid()}"
    flags = ["--default-ulimit", "nofile=64:128", "--default-shm-size", "1m", "--default-ipc-mode", "shareable"]
    flags += ["--default-cgroupns-mode", "private", "--cgroup-parent", parent, "--init"]
    script = "cat /proc/1/comm; ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -n 1 | awk '{print $2}'"
    with Wharfd(*flags) as daemon:
        daemon.load_busybox()
        name = daemon.docker(
            "run", "-d", "--network", "none", "busybox", "sh", "-c", f"{script}; sleep 1000"
        ).stdout.strip()
        shown = daemon.docker("exec", name, "sh", "-c", script).stdout.split()
        assert shown[1:] == ["64", "128", "1024"] and shown[0] in ("docker-init", "tini", "catatonit", "sh")
        limits = "{{range .HostConfig.Ulimits}}{{.Name}}={{.Soft}}:{{.Hard}}{{end}}"
        fields = ("ShmSize", "IpcMode", "CgroupnsMode", "CgroupParent", "Init")
        words = " ".join([limits, *(f"{{{{json .HostConfig.{name}}}}}" for name in fields)])
        inspected = daemon.docker("inspect", "-f", words, name).stdout.strip()
        assert inspected == f'nofile=64:128 {1 << 20} "shareable" "private" "" null'
        pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
        cgroups = Path(f"/proc/{pid}/cgroup").read_text()
        assert f":{parent}/{name}" in cgroups
        own = ["--ulimit", "nofile=32", "--shm-size", "2m", "--init=false"]
        other = daemon.docker("run", "--rm", "--network", "none", *own, "busybox", "sh", "-c", script).stdout.split()
        assert other == ["sh", "32", "32", "2048"]
        subprocess.run([*daemon.enter, "sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"], check=True)
        warned = daemon.docker("create", "busybox").stderr
        assert warned == "WARNING: IPv4 forwarding is disabled. Networking will not work.\n"
        assert daemon.docker("create", "--network", "none", "busybox").stderr == ""
        daemon.docker("rm", "-f", name)


def test_bad_settings_are_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"bip": "10.0.0.1/24"}')
    assert "specified both as a flag and in the configuration file" in refused(
        "--config-file", str(file), "--bip", "10.1.0.1/24"
    )
    assert "refused, because whoever reaches" in refused("-H", "tcp://0.0.0.0:2375", "--pidfile", f"{tmp_path}/pid")
