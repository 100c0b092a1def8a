"""Hooks (config.md#posix-platform-hooks): programs that run at six points of a container's life.

    prestart, createRuntime   here, before pivot_root        state: creating
    createContainer           container's namespaces, before pivot_root; found in the host's file system
    startContainer            container's namespaces and root, at start      state: created
    poststart                 here, after the program has been started       state: running
    poststop                  here, after the container was deleted          state: stopped

The state comes on standard input. The first that fails or exceeds its timeout ends the sequence; after poststop
that is told and the rest goes on. Used in first processes too: nothing is imported after the fork.
"""

import json
import os
import select
import signal
from typing import Any

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_SHOWN = 2048
"""Bytes of each stream of a failed hook that go into the error."""


class HookFailed(Exception):
    """A hook failed; the text names it and says how."""


def hooks_of(config: dict[str, Any], point: str) -> list[dict[str, Any]]:
    """The hooks of one point in their order."""
    return list((config.get("hooks") or {}).get(point) or ())


def run_all(config: dict[str, Any], point: str, state: dict[str, Any]) -> None:
    """Run the hooks of a point in order; raises HookFailed at the first that fails."""
    for index, hook in enumerate(hooks_of(config, point)):
        try:
            _run(hook, state)
        except HookFailed as error:
            raise HookFailed(f"error running {point} hook #{index}: {error}") from None


def run_poststop(config: dict[str, Any], state: dict[str, Any]) -> list[str]:
    """Run every poststop hook; what went wrong, a line for each."""
    problems = []
    for index, hook in enumerate(hooks_of(config, "poststop")):
        try:
            _run(hook, state)
        except HookFailed as error:
            problems.append(f"error running poststop hook #{index}: {error}")
    return problems


def _run(hook: dict[str, Any], state: dict[str, Any]) -> None:
    given, output, errors = os.memfd_create("state"), os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        os.write(given, json.dumps(state).encode())
        os.lseek(given, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((given, output, errors))]
        environment = dict(entry.partition("=")[::2] for entry in hook.get("env") or ())
        try:
            pid = os.posix_spawn(
                hook["path"],
                hook.get("args") or [hook["path"]],
                environment,
                file_actions=actions,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        except OSError as error:
            raise HookFailed(f"fork/exec {hook['path']}: {os.strerror(error.errno or 0).lower()}") from None
        status = _wait(pid, hook.get("timeout"))
        if status != 0:
            said = [os.pread(fd, _SHOWN, 0).decode("utf-8", "replace") for fd in (output, errors)]
            raise HookFailed(f"{_describe(status)}, stdout: {said[0]}, stderr: {said[1]}".rstrip())
    finally:
        for fd in (given, output, errors):
            os.close(fd)


def _wait(pid: int, timeout: int | None) -> int:
    if timeout is not None:
        pidfd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(timeout * 1000):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise HookFailed(f"hook ran past specified timeout of {timeout:.1f}s")
        finally:
            os.close(pidfd)
    return os.waitpid(pid, 0)[1]


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal: {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"
