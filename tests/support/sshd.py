"""An SSH server of a test's own on loopback, which lets one key in: OpenSSH's, in a mount namespace where it finds the
user and the directory that it wants."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.support.wharfd import ROOT

UNPACKED = ROOT / ".cache/ssh-server"
START_SECONDS = 30.0
_PLACES = 'mount -t tmpfs none /run && mkdir /run/sshd && mount --bind "$1/passwd" /etc/passwd && ' \
          'mount --bind "$1/shadow" /etc/shadow && exec "$2" -D -e -f "$1/config"'  # fmt: skip


class SshServer:
    """`host` and `port`; `key` is the private key that it lets in, as root of this host."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.host = "127.0.0.1"
        self.key = place / "key"
        self.port = 0

    def __enter__(self) -> "SshServer":
        for name in ("key", "host-key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._place / name)], check=True)
        with socket.create_server((self.host, 0)) as free:
            self.port = free.getsockname()[1]
        self._write(
            "config",
            f"Port {self.port}\nListenAddress {self.host}\nHostKey {self._place}/host-key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self._place}/key.pub\nStrictModes no\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        )
        self._write("passwd", "root:x:0:0:root:/nonexistent:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
        self._write("shadow", "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
        program = shutil.which("sshd", path="/usr/sbin") or str(UNPACKED / "usr/sbin/sshd")
        libraries = ":".join(str(path.parent) for path in UNPACKED.glob("**/libwrap.so.0"))
        self._process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _PLACES, "sh", str(self._place), program],
            env={**os.environ, "LD_LIBRARY_PATH": libraries}, stdin=subprocess.DEVNULL,
            stderr=(self._place / "log").open("wb"),
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._place / "log").read_text())
            time.sleep(0.02)
        return self

    def _write(self, name: str, text: str) -> None:
        (self._place / name).write_text(text)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), 1) as probe:
                return bool(probe.recv(4))
        except OSError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()
