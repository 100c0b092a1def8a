"""RUN: a command, its mounts, its network."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from wharf.build.graph import Exec, MountKind, StepMount, Vertex
from wharf.build.options import PROXY_ARGS
from wharf.build.stage import StageState
from wharf.dockerfile.effects import resolve_workdir, shell_words
from wharf.dockerfile.instructions import Run
from wharf.dockerfile.run_mount import RunMount
from wharf.errors import Denied, Invalid
from wharf.spec.quote import go_quote

HOSTNAME = "buildkitsandbox"
SCRIPTS = "/dev/pipes"
SECRETS = "/run/secrets"
AGENT = "/run/buildkit/ssh_agent"


def lower_run(state: StageState, item: Run, mounts: Sequence[RunMount], sources: Sequence[Vertex | None]) -> None:
    """Add the step. `sources` are the trees of bind and cache mounts. Raises Invalid, Denied."""
    options = state.options
    if item.security == "insecure" and "security.insecure" not in options.allow:
        raise Denied("security.insecure is not allowed: allow it with --allow security.insecure")
    network = item.network or options.network
    if item.network == "host" and "network.host" not in options.allow:
        raise Denied("network.host is not allowed: allow it with --allow network.host")
    if item.devices:
        raise Invalid(f"device {item.devices[0]} is not allowed: devices in builds are not supported")
    files = item.command.files
    command = replace(item.command, words=(f"{SCRIPTS}/{files[0].name}",)) if files else item.command
    title = state.title(f"RUN {_shown(item)}")
    argv = shell_words(state.config, command)
    inputs: list[Vertex | None] = []
    found = [
        _mount(state, mount, source, inputs, n) for n, (mount, source) in enumerate(zip(mounts, sources, strict=True))
    ]
    op = Exec(
        argv,
        tuple(f"{key}={value}" for key, value in state.env.items()),
        state.config.working_dir or "/",
        state.config.user,
        tuple(found),
        network,
        item.security == "insecure",
        options.hostname or options.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", HOSTNAME),
        options.extra_hosts,
        options.shm_size,
        options.ulimits,
        tuple((file.name, file.text) for file in files),
        _proxies(state),
        options.limits,
    )
    state.add(op, tuple(inputs), title, item)
    state.record("RUN " + _history(state, argv), layer=True, suffix=True)


def _shown(item: Run) -> str:
    text = item.code.partition(" ")[2].strip()
    if item.command.shell and "<<" in text and item.command.words:
        lines = item.command.words[0].strip().split("\n")
        first = lines[0] + ("..." if len(lines) > 1 else "")
        return f"{text} ({first})" if text.startswith("<<") else text
    return text


def _history(state: StageState, argv: tuple[str, ...]) -> str:
    values = [f"{key}={state.env.get(key, value or '')}" for key, value in state.arguments.items()]
    return " ".join([*([f"|{len(values)}", *values] if values else []), *argv])


def _proxies(state: StageState) -> tuple[str, ...]:
    """Proxy settings are there without being declared, and do not decide what a step is."""
    found = []
    for name in (*PROXY_ARGS, *(proxy.lower() for proxy in PROXY_ARGS)):
        value = state.options.build_args.get(name)
        if value is not None and name not in state.arguments:
            found.append(f"{name}={value}")
    return tuple(found)


def _mount(
    state: StageState, mount: RunMount, source: Vertex | None, inputs: list[Vertex | None], number: int
) -> StepMount:
    kind = MountKind(mount.type)
    if kind is MountKind.SECRET:
        return _secret(mount)
    if kind is MountKind.SSH:
        target = mount.target or f"{AGENT}.{number}"
        return StepMount(
            kind, target, id=mount.id or "default", required=mount.required,
            mode=mount.mode if mount.mode is not None else 0o600, uid=mount.uid or 0, gid=mount.gid or 0,
        )  # fmt: skip
    target = resolve_workdir(state.config.working_dir, mount.target)
    if not mount.target or target == "/":
        raise Invalid(f"invalid mount target {go_quote(mount.target)}")
    if kind is MountKind.TMPFS:
        return StepMount(kind, target, read_only=mount.read_only, size=mount.size)
    index = -1
    if source is not None:
        inputs.append(source)
        index = len(inputs)  # input 0 is the root
    path = resolve_workdir("/", mount.source)
    if kind is MountKind.BIND:
        return StepMount(kind, target, index, path, mount.read_only)
    namespace = state.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS", "")
    return StepMount(
        kind, target, index, path, mount.read_only, id=f"{namespace}/{mount.id or posixpath.normpath(mount.target)}",
        sharing=mount.sharing or "shared", mode=mount.mode if mount.mode is not None else 0o755,
        uid=mount.uid or 0, gid=mount.gid or 0,
    )  # fmt: skip


def _secret(mount: RunMount) -> StepMount:
    name = mount.id or mount.source or posixpath.basename(mount.target)
    if not name:
        raise Invalid("secret mount: one of id, source, target is needed")
    env = mount.env if mount.env else (name if mount.env == "" else "")
    target = mount.target or ("" if mount.env is not None else f"{SECRETS}/{posixpath.basename(name)}")
    if target:
        target = resolve_workdir("/", target)
    return StepMount(
        MountKind.SECRET, target, id=name, required=mount.required, env=env,
        mode=mount.mode if mount.mode is not None else 0o400, uid=mount.uid or 0, gid=mount.gid or 0,
    )  # fmt: skip
