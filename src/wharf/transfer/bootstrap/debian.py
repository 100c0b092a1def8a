"""`bootstrap debian:SUITE`: a minimal Debian made by mmdebstrap from the archive that the host's apt knows."""

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

from wharf.errors import Internal, Unavailable
from wharf.transfer.bootstrap.sources import AptSource, trusted_keyrings

_PROGRESS = ("I: ", "E: ", "W: ")
KEPT_LINES = 20
STOP_TIMEOUT_S = 20.0


@contextlib.contextmanager
def debian_tar(
    source: AptSource, extra: list[AptSource], date: int, tell: Callable[[str], None], scratch: str
) -> Iterator[IO[bytes]]:
    """The root file system's tar as mmdebstrap writes it; deterministic for one state of the archive.

    apt verifies the archive's signature with the host's keyring. Leaving the block waits for the tool and raises
    Internal with its last words when it failed, Unavailable when it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="mmdebstrap-", dir=scratch) as directory:
        process = _start(_command(source, extra), date, directory)
        assert process.stdout is not None and process.stderr is not None
        words: list[str] = []
        listener = threading.Thread(target=_listen, args=(process.stderr, tell, words), name="mmdebstrap")
        listener.start()
        try:
            yield process.stdout
            code = process.wait()
        finally:
            _stop(process)
            listener.join()
            process.stdout.close()
            process.stderr.close()
        if code != 0:
            raise Internal(f"mmdebstrap failed with exit code {code}: {' | '.join(words[-KEPT_LINES:])}")


def _command(source: AptSource, extra: list[AptSource]) -> list[str]:
    options = ["--verbose"]
    options += [f"--keyring={path}" for path in trusted_keyrings(source)]
    lines = [f"deb {item.uri} {item.suite} {' '.join(item.components or ('main',))}" for item in (source, *extra)]
    # It ends when this thread does, by kill -9 too; and a mount namespace of its own takes its mounts along.
    prefix = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]
    return [
        *prefix,
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        *options,
        source.suite,
        "-",
        *lines,
    ]


def _start(command: list[str], date: int, directory: str) -> "subprocess.Popen[bytes]":
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": directory,
        "SOURCE_DATE_EPOCH": str(date),
        **{key: value for key, value in os.environ.items() if key.lower() in ("http_proxy", "https_proxy", "no_proxy")},
    }
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"cannot make a Debian image: {error.filename} is missing; install mmdebstrap") from None


def _listen(stream: IO[bytes], tell: Callable[[str], None], words: list[str]) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace").strip()
        words.append(line)
        del words[:-KEPT_LINES]
        if line.startswith(_PROGRESS):
            tell(line[3:])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
