"""Where Wharf answers otherwise than Docker on purpose: one entry each, with what it answers and why.

An entry's answer is as exact as a recording's: a stream that is None must equal Docker's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Normalised answer of Wharf to one line of one scenario; None means as Docker.

    `less` and `more` are lines that stdout has not, or has besides.
    """

    scenario: str
    line: str
    reason: str
    code: int | None = None
    stdout: str | None = None
    stderr: str | None = None
    less: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def expected(self, code: int, stdout: str, stderr: str) -> tuple[int, str, str]:
        """Docker's answer turned into the one that is expected here."""
        code = code if self.code is None else self.code
        stdout = stdout if self.stdout is None else self.stdout
        stderr = stderr if self.stderr is None else self.stderr
        if self.less or self.more:
            kept = [line for line in stdout.splitlines() if line not in self.less]
            stdout = "\n".join(sorted([*kept, *self.more])) + "\n"
        return code, stdout, stderr


NOT_YET = "not there yet; refused by name instead of being ignored"
RUN_HELP = "\n\nRun 'docker run --help' for more information\n"


def _refused(scenario: str, line: str, text: str, reason: str = NOT_YET, *, run: bool = True) -> Difference:
    """A request that the daemon answers with 501: `docker run` ends with 125, other verbs with 1."""
    words = f"Error response from daemon: {text}"
    return Difference(
        scenario, line, reason, 125 if run else 1, "", f"docker: {words}{RUN_HELP}" if run else f"{words}\n"
    )


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "inspect: keys of other documents",
        "docker info --format json ## json",
        "no containerd and no runc stand behind this engine, and CDI devices come later",
        less=(
            ".CDISpecDirs[]: text",
            ".Containerd.Address: text",
            ".Containerd.Namespaces.Containers: text",
            ".Containerd.Namespaces.Plugins: text",
            ".Runtimes.io.containerd.runc.v2.path: text",
            ".Runtimes.io.containerd.runc.v2.status.org.opencontainers.runtime-spec.features: text",
            ".Runtimes.runc.status.org.opencontainers.runtime-spec.features: text",
        ),
        more=(".CDISpecDirs: []",),
    ),
    Difference(
        "inspect: keys of other documents",
        "docker version --format json ## json",
        "components are this engine's own: it is not built, and Python stands where Go does",
        less=(".Server.BuildTime: text",),
        more=(".Server.Components[].Details.PythonVersion: text",),
    ),
    Difference(
        "inspect: configuration",
        "docker create --name cc -e A=1 -l k=v -w /w -u app -h host.name --domainname dd --stop-signal INT "
        "--stop-timeout 3 --health-cmd true -it --mac-address 02:00:00:00:00:09 box:1 echo a b",
        "health checks are stored and not run yet: the client says so",
        stderr="WARNING: Health checks are not run yet.\n",
    ),
    _refused(
        "logs",
        "docker run --name local --log-driver local box:1 sh -c 'echo a; echo b'",
        "the log driver local is not there yet: json-file and none are",
    ),
    _refused("logs", "docker logs --tail 1 local", "No such container: local", "the container was refused", run=False),
    _refused(
        "inspect: conflicting options",
        "docker create --link nosuch box:1",
        "links of a container: not there yet",
        run=False,
    ),
    _refused(
        "network: modes",
        "docker run --rm --link web box:1 true",
        "links of a container: not there yet",
    ),
    _refused(
        "inspect: conflicting options",
        "docker create --gpus all box:1",
        "device requests (--gpus) of a container: not there yet",
        "Docker creates it and fails at start where no driver is; here it is refused at once",
        run=False,
    ),
)


def difference(scenario: str, line: str) -> Difference | None:
    """The entry for this line, if there is one."""
    return next((d for d in DIFFERENCES if (d.scenario, d.line) == (scenario, line)), None)
