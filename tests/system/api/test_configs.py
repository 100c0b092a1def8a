"""Hostile configs of containers: refused or harmless, and the host is as it was."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.wharfd import Wharfd
from tests.system.api.conftest import cgroups
from tests.system.api.raw import Client

V = "/v1.51"
SH = ["sh", "-c"]
NUL = "a\0b"


@pytest.mark.parametrize(
    "config",
    [
        {"Env": [f"A={NUL}"]},
        {"Cmd": ["echo", NUL]},
        {"Entrypoint": [NUL]},
        {"User": NUL},
        {"WorkingDir": f"/{NUL}"},
        {"Labels": {NUL: "x"}},
        {"Volumes": {f"/{NUL}": {}}},
        {"HostConfig": {"Binds": [f"/tmp/{NUL}:/t"]}},
        {"HostConfig": {"Tmpfs": {"/t": f"size={NUL}"}}},
        {"HostConfig": {"Mounts": [{"Type": "bind", "Source": f"/{NUL}", "Target": "/t"}]}},
        {"HostConfig": {"CgroupParent": NUL}},
        {"HostConfig": {"Devices": [{"PathOnHost": f"/dev/{NUL}", "PathInContainer": "/dev/t"}]}},
        {"HostConfig": {"NetworkMode": NUL}},
        {"HostConfig": {"ExtraHosts": [f"{NUL}:1.2.3.4"]}},
        {"HostConfig": {"Sysctls": {"net.x": NUL}}},
    ],
)
def test_nul_is_refused_anywhere(api: Client, config: dict[str, Any]) -> None:
    answer = api.create(config)
    assert answer.status == 400 and "NUL byte" in answer.message


def test_nul_is_refused_in_what_ps_is_to_show(api: Client) -> None:
    made = api.create({"Cmd": ["sleep", "100"], "HostConfig": {"NetworkMode": "none"}}).json()["Id"]
    assert api.ask("POST", f"{V}/containers/{made}/start").status == 204
    answer = api.ask("GET", f"{V}/containers/{made}/top?ps_args=-o%00pid")
    assert (answer.status, answer.message) == (400, "invalid ps_args: a null byte cannot be handed to ps")
    assert api.ask("DELETE", f"{V}/containers/{made}?force=1").status == 204


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"Env": [""]}, "invalid environment variable: "),
        ({"WorkingDir": "rel"}, "the working directory 'rel' is invalid, it needs to be an absolute path"),
        ({"StopSignal": "FOO"}, "invalid signal: FOO"),
        ({"HostConfig": {"ExtraHosts": ["a"]}}, 'bad format for add-host: "a"'),
        ({"HostConfig": {"ExtraHosts": ["a:b"]}}, 'invalid IP address in add-host: "b"'),
        (
            {"HostConfig": {"ExtraHosts": ["a:1.2.3.4\n6.6.6.6 evil"]}},
            'invalid IP address in add-host: "1.2.3.4\\n6.6.6.6 evil"',
        ),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}}, 'invalid port specification: "99999"'),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "-1"}]}}}, 'invalid port specification: "-1"'),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "1\n2"}]}}}, 'invalid port specification: "1\\n2"'),
        ({"HostConfig": {"PortBindings": {"99999/tcp": [{}]}}}, "invalid port '99999/tcp': not within 1-65535"),
        ({"ExposedPorts": {"80/xyz": {}}}, "invalid proto: xyz"),
        ({"HostConfig": {"Memory": -1}}, "Minimum memory limit allowed is 6MB"),
        ({"HostConfig": {"CpuShares": -1}}, "invalid CPU shares (-1): value must be a positive integer"),
        (
            {"HostConfig": {"RestartPolicy": {"Name": "sometimes"}}},
            "invalid restart policy: unknown policy 'sometimes'",
        ),
        ({"HostConfig": {"NetworkMode": "bridge"}, "MacAddress": "zz"}, "invalid MAC address zz"),
        ({"HostConfig": {"CapAdd": ["FOO"]}}, 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ({"HostConfig": {"Tmpfs": {"/t": "a,b"}}}, 'invalid tmpfs option "a"'),
        ({"Hostname": "x" * 65}, "invalid hostname"),
        (
            {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {"mode": "m" * 5000}}}},
            "logging mode not supported: mmm",
        ),
        ({"StopSignal": "9" * 5000}, "invalid signal"),
        ({"HostConfig": {"CpusetCpus": "9" * 5000}}, "for cpuset cpus: invalid format"),
        ({"Hostname": "a\n6.6.6.6 evil"}, "invalid hostname"),
        ({"Domainname": "a\n6.6.6.6 evil"}, "invalid hostname"),
        ({"HostConfig": {"CgroupParent": "/../../x"}}, "invalid cgroup parent"),
    ],
)
def test_refused_with_words(api: Client, config: dict[str, Any], words: str) -> None:
    answer = api.create(config)
    assert answer.status == 400 and words in answer.message


@pytest.mark.parametrize(
    "target", ["/..", "/../..", "/.", "//", "/a/..", "rel", "", "/" + "x" * 300, "/x" * 3000, "/proc", "/proc/1/root"]
)
def test_targets_of_mounts(api: Client, tmp_path: Path, target: str) -> None:
    answer = api.run({"Cmd": ["true"], "HostConfig": {"Binds": [f"{tmp_path}:{target}"]}})
    assert answer.status in (400, 500) and answer.message
    assert "Traceback" not in answer.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "net/../kernel/core_pattern",
        "net.ipv4./../../kernel.core_pattern",
        "vm.swappiness",
        "..",
        "",
    ],
)
def test_sysctls_of_the_host_are_refused(api: Client, key: str) -> None:
    """The value is what the host has: a sysctl that were written would change nothing."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    value = Path("/proc/sys/vm/swappiness").read_text().strip() if key == "vm.swappiness" else before.strip()
    answer = api.run({"Cmd": ["true"], "HostConfig": {"Sysctls": {key: value}}})
    assert answer.status >= 400 and "sysctl" in answer.message
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize(
    "user", ["nope", "root:nope", "-1", "4294967295", "9" * 20, "0:0:0", "../../x", "x" * 5000, "é"]
)
def test_users(api: Client, user: str) -> None:
    answer = api.run({"User": user, "Cmd": ["id"]})
    assert answer.status in (400, 500)
    assert "unable to find" in answer.message or "uids and gids" in answer.message or "user" in answer.message


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({"Env": ["a==b", "x y=1", "n=\n", "u=\u00fc"], "Cmd": ["env"]}, 0),
        ({"Env": ["NOEQUALS"], "Cmd": ["env"]}, 0),
        ({"Env": [f"A={'x' * 200_000}"], "Cmd": ["true"]}, None),
        ({"Cmd": ["true", "x" * 200_000]}, None),
        ({"Cmd": ["/" + "x" * 5000]}, None),
        ({"Cmd": ["../../bin/busybox", "true"]}, 0),
        ({"Cmd": ["/etc/passwd"]}, None),
        ({"Cmd": ["/"]}, None),
        ({"Cmd": [" "]}, None),
        ({"Hostname": "-bad_", "Cmd": [*SH, "test $(hostname) = -bad_"]}, 0),
        ({"Hostname": "x" * 64, "Cmd": ["hostname"]}, 0),
        ({"Labels": {"": "x", "a\nb": "y", "k" * 5000: "v" * 500_000}, "Cmd": ["true"]}, 0),
        ({"HostConfig": {"Ulimits": [{"Name": "zz", "Soft": 1, "Hard": 1}]}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"GroupAdd": ["nope"]}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"CpusetMems": "99"}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"ShmSize": (1 << 63) - 1}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"PidsLimit": (1 << 63) - 1}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"MaskedPaths": ["/../etc", "x", "/nope"]}, "Cmd": ["true"]}, None),
        ({"HostConfig": {"SecurityOpt": ["seccomp={bad"]}, "Cmd": ["true"]}, None),
    ],
)
def test_odd_ones_are_harmless(api: Client, config: dict[str, Any], status: int | None) -> None:
    """A status of None: whatever it is, it is told in words."""
    answer = api.run(config)
    assert status is None or answer.status == status, answer
    assert b"Traceback" not in answer.body


def test_failed_containers_leave_nothing(api: Client, daemon: Wharfd) -> None:
    before = cgroups(daemon)
    log = {"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "9" * 5000}}}
    hosts = ({"Sysctls": {"vm.x": "1"}}, log)
    over_root = {"Volumes": {"/../..": {}}}  # taken when it is made, as by Docker; nothing is mounted over the root
    for config in ({"Cmd": ["/nope"]}, {"User": "nope"}, over_root, *({"HostConfig": host} for host in hosts)):
        assert api.run(config).status >= 400
    assert before and cgroups(daemon) == before
    assert api.ask("GET", f"{V}/containers/json?all=1").json() == []


def names_of(text: str) -> set[str]:
    return {line.partition("=")[0] for line in text.splitlines() if "=" in line}


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_process_has_nothing_of_the_daemon(daemon: Wharfd, how: str, user: str) -> None:
    """Descriptors 0 to 2, an environment of the image's own, itself as /proc/self/exe, init without our files."""
    script = (
        "ls /proc/self/fd | wc -l; n=$(ls /proc/1/fd 2>/dev/null); echo $(echo $n | wc -w); readlink /proc/$$/exe; "
        "echo --; cat /proc/self/environ | tr '\\0' '\\n'; echo --; cat /proc/self/maps | grep -c python; "
        "grep -E 'NoNewPrivs|Seccomp:|TracerPid' /proc/self/status; cat /proc/self/cmdline | tr '\\0' ' '"
    )
    container = daemon.docker("run", "-d", "--network", "none", "busybox", "sleep", "1000").stdout.strip()
    try:
        command = ["exec"] if how == "exec" else ["run", "--rm", "--network", "none"]
        subject = container if how == "exec" else "busybox"
        out = daemon.docker(*command, "-u", user, subject, "sh", "-c", script).stdout
    finally:
        daemon.docker("rm", "-f", container)
    head, environment, tail = out.split("--\n")
    seen = head.split()
    assert seen[0] == "4", out  # 0, 1, 2 and the directory that ls reads
    # A shell that is init holds pipes of its own.
    assert how == "run" or seen[1] == ("3" if user == "root" else "0"), out
    assert seen[2] == "/bin/sh"
    assert names_of(environment) <= {"PATH", "HOSTNAME", "HOME", "SHLVL", "PWD", "OLDPWD"}, out
    assert tail.splitlines()[0] == "0"
    assert "wharf" not in out and daemon.root not in out
