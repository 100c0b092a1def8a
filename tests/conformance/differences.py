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
            stdout = "\n".join(sorted([*kept, *self.more])) + ("\n" if stdout.endswith("\n") else "")
        return code, stdout, stderr


RUN_HELP = "\n\nRun 'docker run --help' for more information\n"


def _udp_twice(name: str, ports: str, number: int) -> Difference:
    return Difference(
        "network: publishing",
        f"docker run --rm --name {name} {ports} box:1 true",
        "one host port twice for one container is refused for UDP as it is for TCP: one of the two could not answer",
        125,
        stderr="docker: Error response from daemon: failed to set up container networking: driver failed programming "
        f"external connectivity on endpoint {name} (<id {number}.1 in full>): failed to listen on UDP socket: address "
        f"already in use{RUN_HELP}",
    )


_BUILD_HEAD = (
    "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n"
    "  BuildKit is currently disabled; enable it by removing the DOCKER_BUILDKIT=0\n  environment-variable.\n\n"
)
_SENT = "Sending build context to Docker daemon  <size>\n\n"


def _build(scenario: str, line: str, reason: str, stdout: str | None, stderr: str = "", code: int = 0) -> Difference:
    """A build; `stderr` without what its client says of the builder."""
    return Difference(f"build: {scenario}", f"docker build {line}", reason, code, stdout, _BUILD_HEAD + stderr)


_REAL_TIME = (
    "Docker writes real time down and leaves the running container as it is; here the kernel is asked, and says no"
)
_UPDATES = (
    Difference(
        "flags: run",
        "docker update --cpu-rt-period 1000000 --cpu-rt-runtime 100 keys",
        _REAL_TIME,
        code=1,
        stdout="",
        stderr="Error response from daemon: Cannot update container <id 5.1 in full>: runc did not terminate "
        'successfully: exit status 1: failed to write "100": write '
        "/sys/fs/cgroup/cpu/<parent>/<id 5.1 in full>/cpu.rt_runtime_us: invalid argument\n",
    ),
)
_NO_PLUGINS = (
    "Error response from daemon: managed plugins are not part of Wharf: its drivers are built in "
    "(docker info lists them)\n"
)
_PLUGINS = tuple(
    Difference("plugins: none", line, "there are no managed plugins, and none can be made", stderr=_NO_PLUGINS)
    for line in (
        "docker plugin install --alias a --disable --grant-all-permissions --disable-content-trust 127.0.0.1:1/nosuch",
        "docker plugin create --compress made {tmp}/p",
    )
)
_OCI = "what is made here is pushed as an OCI manifest, not in Docker's older form"
_MANIFESTS = "manifests of images are told of, as by Docker with containerd's image store"
_SCHEMA = ("config.digest: text", "config.mediaType: text", "config.size: number", "layers[].digest: text",
           "layers[].mediaType: text", "layers[].size: number", "mediaType: text", "schemaVersion: number")  # fmt: skip
_IMAGES = (
    Difference(
        "flags: images",
        "docker load --platform linux/arm64 -i {tmp}/s.tar",
        "Docker prints an empty line where nothing in the archive is of that platform",
        stdout="",
    ),
    Difference(
        "flags: images as a tree",
        "docker images --tree ## sorted",
        _MANIFESTS,
        less=("boxed:1  <id 0.1>  <size>  0B", "box:1  <id 0.2>  <size>  0B"),
        more=(
            "",
            "",
            "boxed:1  <id 0.1>  <size>  <size>",
            "└─ linux/amd64  <id 0.2>  <size>  <size>",
            "box:1  <id 0.3>  <size>  <size>",
            "└─ linux/amd64  <id 0.4>  <size>  <size>",
        ),
    ),
    Difference(
        "registry: who may",
        "docker push --platform linux/amd64 {registry}/team/box:1 ## sorted",
        _OCI,
        less=("1: digest: sha256:<id 11.1 in full> size: 527",),
        more=("1: digest: sha256:<id 11.1 in full> size: 405",),
    ),
    Difference(
        "registry: who may",
        "docker manifest inspect --insecure -v {registry}/team/box:1 ## json",
        _OCI,
        less=tuple(f".SchemaV2Manifest.{row}" for row in _SCHEMA),
        more=tuple(f".OCIManifest.{row}" for row in _SCHEMA),
    ),
)
_API = (
    Difference(
        "api: classes of errors",
        "api POST /v1.51/images/create",
        "what is missing is said; Docker asks a registry without a name",
        code=400,
        stdout='{\n "message": "either fromImage or fromSrc is needed"\n}\n',
    ),
    Difference(
        "api: classes of errors",
        "api POST /v1.51/auth nosuch",
        "a body that is no JSON is refused alike everywhere",
        code=400,
        stdout="{\n \"message\": \"invalid JSON: invalid character 'o' in literal null (expecting 'u')\"\n}\n",
    ),
    Difference(
        "api: classes of errors",
        "api GET /v1.51/images/json?manifests=1 ## json",
        _MANIFESTS,
        more=tuple(
            f"[].Manifests[].{row}"
            for row in (
                "Available: boolean",
                "Descriptor.digest: text",
                "Descriptor.mediaType: text",
                "Descriptor.platform.architecture: text",
                "Descriptor.platform.os: text",
                "Descriptor.size: number",
                "ID: text",
                "ImageData.Containers: []",
                "ImageData.Containers[]: text",
                "ImageData.Platform.architecture: text",
                "ImageData.Platform.os: text",
                "ImageData.Size.Unpacked: number",
                "Kind: text",
                "Size.Content: number",
                "Size.Total: number",
            )
        ),
    ),
    Difference(
        "registry: who may",
        "api GET /v1.51/distribution/{registry}/team/box:1/json",
        "the first refusal of a registry is told, as everywhere; Docker lists both of its attempts here",
        stdout='{\n "message": "denied: requested access to the resource is denied"\n}\n',
    ),
    *(
        Difference(
            "api: stats and top",
            f"api GET /v1.51/containers/{name}/stats?stream=0&one-shot=1 ## json",
            "Docker leaves out in one shot which container it is of",
            more=(".id: text", ".name: text"),
        )
        for name in ("rr", "lone")
    ),
)

WORDS = "Dockerfiles are read by one front, whose words are those of BuildKit's"
MORE = "what Docker leaves to BuildKit is there in every build"
DIFFERENCES: tuple[Difference, ...] = (
    _build(
        "standard input and remote",
        "- ## stdin=FROM box:1\\nCOPY f /f\\n ; classic",
        WORDS,
        None,
        '"/f": not found\n',
        1,
    ),
    _build("steps that fail", "f4 ## classic", WORDS, None, '"/nosuch": not found\n', 1),
    _build(
        "steps that fail",
        "f5 ## classic",
        "a way out of the context ends at its top, as in BuildKit",
        None,
        '"/etc/passwd": not found\n',
        1,
    ),
    _build(
        "files that are none",
        "g9 ## classic",
        "what cannot work is refused before the first step",
        _SENT,
        "Error response from daemon: invalid containerPort: nosuch\n",
        1,
    ),
    _build(
        "files that are none",
        "g11 ## classic",
        "the later stage of a name counts, as in BuildKit, which warns",
        f'{_SENT}Step 1/1 : FROM box:1 AS a\n[Warning] DuplicateStageName: Duplicate stage name "a", stage names '
        "should be unique (line 2)\nSuccessfully built <id 21.1>\n",
    ),
    _build(
        "files that are none",
        "g6 ## classic",
        MORE,
        f"{_SENT}Step 1/2 : FROM box:1\n"
        "Step 2/2 : RUN --mount=type=cache,target=/c true\nSuccessfully built <id 11.1>\n",
    ),
    _build(
        "files",
        "b ## classic",
        MORE,
        f"{_SENT}Step 1/3 : FROM box:1\nStep 2/3 : COPY --chmod=640 Dockerfile /moded\n"
        "Step 3/3 : RUN stat -c %a /moded\n640\nSuccessfully built <id 5.1>\n",
    ),
    _build(
        "flags",
        "--target 0 -q c",
        "a stage is known by its number too, as `COPY --from` knows it; Docker's builders take a name alone",
        "sha256:<id 5.1 in full>\n",
    ),
    _build(
        "flags",
        "--build-arg WORD=given c ## classic",
        "the declaration of an argument is no step of its own",
        f"{_SENT}Step 1/7 : ARG BASE=box:1\nStep 2/7 : FROM $BASE AS first\nStep 3/7 : ARG WORD=default\n"
        "Step 4/7 : RUN echo $WORD > /word\nStep 5/7 : FROM $BASE\nStep 6/7 : COPY --from=first /word /got\n"
        "Step 7/7 : RUN cat /got\ngiven\nSuccessfully built <id 3.1>\n",
    ),
    _udp_twice("twice3", "-p 8324:80/udp -p 8324:80/udp", 28),
    _udp_twice("twice5", "-p 127.0.0.1:8325:80/udp -p 8325:80/udp", 30),
    *_UPDATES,
    *_PLUGINS,
    *_IMAGES,
    *_API,
    Difference(
        "inspect: keys of other documents",
        "docker info --format json ## json",
        "no containerd and no runc stand behind this engine",
        less=(
            ".Containerd.Address: text",
            ".Containerd.Namespaces.Containers: text",
            ".Containerd.Namespaces.Plugins: text",
            ".Runtimes.io.containerd.runc.v2.path: text",
            ".Runtimes.io.containerd.runc.v2.status.org.opencontainers.runtime-spec.features: text",
            ".Runtimes.runc.status.org.opencontainers.runtime-spec.features: text",
        ),
    ),
    Difference(
        "inspect: keys of other documents",
        "docker version --format json ## json",
        "components are this engine's own: it is not built, and Python stands where Go does",
        less=(".Server.BuildTime: text",),
        more=(".Server.Components[].Details.PythonVersion: text",),
    ),
    Difference(
        "mounts: modes of -v",
        "docker create -v {tmp}/src:/m:idmap box:1",
        "id-mapped binds are there, as in Podman (docs/flow-mounts.md)",
        code=0,
        stdout="<id 57.1 in full>\n",
        stderr="",
    ),
    Difference(
        "info and version",
        "docker info --format '{{.Driver}} {{.DefaultRuntime}} {{.Swarm.LocalNodeState}} {{.LiveRestoreEnabled}} "
        "{{.ExperimentalBuild}}'",
        "containers outlive the daemon unless that is switched off",
        stdout="overlay2 runc inactive true false\n",
    ),
    Difference(
        "mounts: --volumes-from",
        "docker run --pull never --rm --volumes-from tmpfs box:1 true",
        "a file system in memory of the other container is made anew; Docker looks for a volume without a name",
        code=0,
        stderr="",
    ),
    Difference(
        "update: running",
        "docker update --cpu-rt-runtime 100 rr",
        _REAL_TIME,
        code=1,
        stdout="",
        stderr="Error response from daemon: Cannot update container <id 0.1 in full>: runc did not terminate "
        'successfully: exit status 1: failed to write "100": write '
        "/sys/fs/cgroup/cpu/<parent>/<id 0.1 in full>/cpu.rt_runtime_us: invalid argument\n",
    ),
    Difference(
        "update: memory without a limit of swap",
        "docker update -m 256m --memory-swap -1 rr",
        "Docker's runtime writes the memory's limit first, which the kernel refuses above the old limit of both; here "
        "the limit of both goes away first",
        code=0,
        stdout="rr\n",
        stderr="",
    ),
    Difference(
        "update: memory without a limit of swap",
        "docker exec rr cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
        "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
        "what the update before it has written",
        stdout="268435456\n9223372036854771712\n",
    ),
    Difference(
        "resources: place and runtime",
        "docker run --rm --cgroup-parent /some/parent box:1 grep -c some/parent/ /proc/self/cgroup",
        "no cgroup is made in the v2 hierarchy of a hybrid host: it limits nothing there",
        stdout="9\n",
    ),
    Difference(
        "resources: place and runtime",
        "docker run --rm --cgroup-parent ../.. box:1 true",
        "a path that leads out of the hierarchy is refused instead of being cut",
        code=125,
        stderr="docker: Error response from daemon: invalid cgroup parent: '../..'" + RUN_HELP,
    ),
)


def difference(scenario: str, line: str) -> Difference | None:
    """The entry for this line, if there is one."""
    return next((d for d in DIFFERENCES if (d.scenario, d.line) == (scenario, line)), None)
