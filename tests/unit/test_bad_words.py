"""Go's words for what is not JSON, and which sysctls belong to a container."""

import pytest

from wharf.errors import Invalid
from wharf.runtime.devices import SysctlRefused, sysctl_path
from wharf.wire.codec import parse

OWN = ("pid", "network", "ipc", "uts", "mount")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{bad", "invalid character 'b' looking for beginning of object key string"),
        (b'{"a":', "unexpected EOF"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":"\0"}', "invalid character '\\x00' in string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"\xef\xbb\xbf{}", "invalid character '\\ufeff' looking for beginning of value"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"a":' * 20_000, "exceeded max depth"),
        (b"x" * (1 << 20), "malformed, or not UTF-8"),
    ],
)
def test_what_is_not_json(text: bytes, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.message == f"invalid JSON: {words}"


@pytest.mark.parametrize("text", [b"{} {}", b"{}x", b'"\xff" "x"'])
def test_more_than_one_value(text: bytes) -> None:
    with pytest.raises(Invalid, match="unexpected content after JSON"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"\xff"', "\ufffd"),
        (b'"\\ud800"', "\ufffd"),
        (b'"\\ud83d\\ude00 \\udc00\\u0041 \\\\ud800"', "\U0001f600 \ufffdA \\ud800"),
        (b"1e999", float("inf")),
    ],
)
def test_what_go_takes(text: bytes, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
        ("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter"),
        ("kernel.shmmax", "kernel/shmmax"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("kernel.domainname", "kernel/domainname"),
    ],
)
def test_sysctls_of_own_namespaces(key: str, path: str) -> None:
    assert sysctl_path(key, OWN) == path


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "vm.overcommit_memory",
        "fs.file-max",
        "kernel.hostname",
        "net/../kernel/core_pattern",
        "net/ipv4/../../kernel/core_pattern",
        "net./../kernel.core_pattern",
        "net//ipv4/ip_forward",
        "/kernel/shmmax",
        "netx.y",
        "",
        ".",
        "..",
    ],
)
def test_sysctls_of_the_host(key: str) -> None:
    with pytest.raises(SysctlRefused):
        sysctl_path(key, OWN)


@pytest.mark.parametrize(("key", "kind"), [("net.ipv4.ip_forward", "network"), ("kernel.shmmax", "ipc")])
def test_sysctls_of_a_shared_namespace(key: str, kind: str) -> None:
    with pytest.raises(SysctlRefused):
        sysctl_path(key, [name for name in OWN if name != kind])
