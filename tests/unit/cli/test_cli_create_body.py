"""The body of a create request: what docker sends for the same flags."""

from pathlib import Path
from typing import Any

import pytest

from wharf.cli.create_body import build
from wharf.cli.run import RUN
from wharf.errors import Invalid


def body(*args: str) -> dict[str, Any]:
    flags, (image, *command) = RUN.parse(list(args))
    return build(flags, image, command)


def test_a_plain_run_is_dockers_request() -> None:
    sent = body("--rm", "alpine", "true")
    assert (sent["Image"], sent["Cmd"], sent["Env"], sent["Entrypoint"]) == ("alpine", ["true"], None, None)
    assert (sent["AttachStdin"], sent["AttachStdout"], sent["AttachStderr"], sent["OpenStdin"]) == (
        False,
        True,
        True,
        False,
    )
    host = sent["HostConfig"]
    assert host["AutoRemove"] is True
    assert host["NetworkMode"] == "default"
    assert host["MemorySwappiness"] == -1
    assert host["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert list(sent["NetworkingConfig"]["EndpointsConfig"]) == ["default"]


def test_the_flags_of_a_service() -> None:
    sent = body(
        "-d", "-p", "8080:80", "-v", "data:/d", "-v", "/tmp:/t:ro", "-v", "/anonymous", "--network", "n1",
        "--network-alias", "w", "-e", "A=b", "--restart", "on-failure:3", "-m", "64m", "--cpus", "1.5", "--health-cmd",
        "true", "--label", "a=b", "--add-host", "h:host-gateway", "--tmpfs", "/x:size=1m", "--mount",
        "type=bind,src=/tmp,dst=/m,readonly", "alpine", "sleep", "9",
    )  # fmt: skip
    host = sent["HostConfig"]
    assert sent["ExposedPorts"] == {"80/tcp": {}}
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert host["Binds"] == ["data:/d", "/tmp:/t:ro"]
    assert sent["Volumes"] == {"/anonymous": {}}
    assert sent["NetworkingConfig"]["EndpointsConfig"]["n1"]["Aliases"] == ["w"]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["Memory"], host["NanoCpus"]) == (67108864, 1500000000)
    assert sent["Healthcheck"] == {"Test": ["CMD-SHELL", "true"]}
    assert host["ExtraHosts"] == ["h:host-gateway"]
    assert host["Tmpfs"] == {"/x": "size=1m"}
    assert host["Mounts"] == [{"Type": "bind", "Source": "/tmp", "Target": "/m", "ReadOnly": True}]
    assert sent["AttachStdout"] is False


def test_interactive_opens_standard_input_once() -> None:
    sent = body("-it", "alpine")
    assert (sent["Tty"], sent["OpenStdin"], sent["StdinOnce"], sent["AttachStdin"]) == (True, True, True, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
        ("127.0.0.1:53:53/udp", {"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}),
        ("[::1]::80", {"80/tcp": [{"HostIp": "::1", "HostPort": ""}]}),
        (
            "9000-9001:80-81",
            {"80/tcp": [{"HostIp": "", "HostPort": "9000"}], "81/tcp": [{"HostIp": "", "HostPort": "9001"}]},
        ),
        ("9000-9010:80", {"80/tcp": [{"HostIp": "", "HostPort": "9000-9010"}]}),
    ],
)
def test_published_ports(text: str, expected: dict[str, Any]) -> None:
    assert body("-p", text, "i")["HostConfig"]["PortBindings"] == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-p", "x:y:z:w"), "invalid IP address: x:y"),
        (("-p", "80:a"), "invalid containerPort: a"),
        (("-p", "1-2:1-5"), "invalid ranges specified"),
        (("-p", "80/xyz"), "invalid proto: xyz"),
        (("-p", "99999"), "invalid containerPort: 99999"),
        (("--env-file", "/nonexistent"), "open /nonexistent: no such file or directory"),
        (("--device", "x"), "x is not an absolute path"),
        (("--restart", ":3"), "no policy provided before colon"),
        (("--rm", "--restart", "always"), "cannot specify both --restart and --rm"),
        (("--no-healthcheck", "--health-cmd", "x"), "--no-healthcheck conflicts"),
        (("--security-opt", "seccomp=/nonexistent"), "opening seccomp profile (/nonexistent) failed"),
        (("--network", "host", "--network", "n1"), "conflicting options"),
    ],
)
def test_what_does_not_make_sense_is_refused_before_anything_is_sent(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(Invalid) as refused:
        body(*args, "image")
    assert message in refused.value.message


def test_an_environment_file_and_names_without_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\nA=1\n  B=two words\nSET\nUNSET\n")
    monkeypatch.setenv("SET", "yes")
    monkeypatch.delenv("UNSET", raising=False)
    assert body("--env-file", str(path), "-e", "C=3", "-e", "UNSET", "i")["Env"] == [
        "A=1",
        "B=two words",
        "SET=yes",
        "C=3",
        "UNSET",
    ]


def test_a_seccomp_profile_is_sent_as_its_content(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    host = body("--security-opt", f"seccomp={path}", "--security-opt", "systempaths=unconfined", "i")["HostConfig"]
    assert host["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert (host["MaskedPaths"], host["ReadonlyPaths"]) == ([], [])
