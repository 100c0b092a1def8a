"""What Debian's runc (1.1) answers otherwise than the runc of the recordings (1.3), for `make test-runc`."""

from __future__ import annotations

import os

from tests.conformance.differences import Difference

RUNTIME = os.environ.get("WHARF_TEST_RUNTIME", "")
"""The OCI runtime that runs every container of the table; "" is our own."""

OLDER_WORDS = (
    ("error during container init: exec: ", "exec: "),
    ('exec: "/etc": is a directory: permission denied', 'exec: "/etc": permission denied'),
)
"""Recorded words -> those of the older runc, which looks for the program outside of its init."""

_INIT_FAILED = (
    "docker: Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime "
    "create failed: runc create failed: unable to start container process: error during container init: "
)
_HELP = "\n\nRun 'docker run --help' for more information\n"


def _not_a_directory(source: str, target: str) -> Difference:
    text = f'error mounting "{source}" to rootfs at "{target}": mount {source}:{target} (via /proc/self/fd/6), '
    return Difference(
        "mounts: binds",
        f"docker run --rm -v {source}:{target} box:1 " + ("ls /etc/hostname" if target == "/etc/hostname" else "true"),
        "words of the older runc",
        stderr=f"{_INIT_FAILED}{text}flags: 0x5000: not a directory{_HELP}",
    )


def _tmpfs(data: str) -> Difference:
    text = f'error mounting "tmpfs" to rootfs at "/t": mount tmpfs:/t (via /proc/self/fd/6), flags: 0xe, data: {data}: '
    return Difference(
        "mounts: tmpfs options",
        f"docker run --rm --tmpfs /t:{data} box:1 true",
        "words of the older runc",
        stderr=f"{_INIT_FAILED}{text}invalid argument{_HELP}",
    )


def _refused_tmpfs(option: str) -> Difference:
    text = 'error mounting "tmpfs" to rootfs at "/t": mount tmpfs:/t (via /proc/self/fd/6), flags: 0xe, '
    return Difference(
        "mounts: tmpfs options",
        f"docker run --rm --tmpfs /t:{option} box:1 true",
        "words of the older runc",
        stderr=f"{_INIT_FAILED}{text}data: {option}: invalid argument{_HELP}",
    )


DIFFERENCES = (
    _refused_tmpfs("size=nosuch"),
    _refused_tmpfs("mode=9"),
    _refused_tmpfs("size=1m:ro"),
    Difference(
        "run: environment, directory, names inside",
        "docker run --rm -h somehost --domainname example.org box:1 sh -c 'hostname; grep somehost /etc/hosts | "
        "cut -f2; cat /proc/sys/kernel/domainname'",
        "runc 1.1 does not know the specification's domainname",
        stdout="somehost\nsomehost.example.org somehost\n(none)\n",
    ),
    Difference(
        "run: environment, directory, names inside",
        "docker run --rm -w /etc/passwd box:1 pwd",
        "the runtime makes the working directory, and says in its own words that it cannot",
        stderr=f"{_INIT_FAILED}mkdir /etc/passwd: not a directory{_HELP}",
    ),
    _not_a_directory("{tmp}/src/a", "/etc"),
    _not_a_directory("{tmp}/src", "/etc/motd"),
    _not_a_directory("{tmp}/src", "/etc/hostname"),
    _tmpfs("size=nosuch"),
    _tmpfs("mode=9"),
    _tmpfs("size=1m:ro"),
    Difference(
        "resources: place and runtime",
        "docker run --rm --cgroup-parent /some/parent box:1 grep -c some/parent/ /proc/self/cgroup",
        "runc makes a cgroup in the v2 hierarchy of a hybrid host, as in Docker; ours does not",
        stdout="10\n",
    ),
    Difference(
        "inspect: keys of other documents",
        "docker info --format json ## json",
        "our own runtime is listed beside the one that took the name runc",
        more=(".Runtimes.wharf-runtime.path: text",),
    ),
)


def expected(scenario: str, line: str, answer: tuple[int, str, str]) -> tuple[int, str, str]:
    """Docker's answer as this runtime gives it; unchanged for our own."""
    if not RUNTIME:
        return answer
    code, stdout, stderr = answer
    for newer, older in OLDER_WORDS:
        stdout, stderr = stdout.replace(newer, older), stderr.replace(newer, older)
    for entry in DIFFERENCES:
        if (entry.scenario, entry.line) == (scenario, line):
            return entry.expected(code, stdout, stderr)
    return code, stdout, stderr
