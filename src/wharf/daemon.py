"""wharfd: reads its settings, opens the engine, serves the API, ends cleanly. Composition only."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time

import uvloop

from wharf import __version__
from wharf.api.listen import TlsFiles, close_listeners, inherited_listeners, open_listener
from wharf.api.routes import ROUTES
from wharf.api.server import Api, Listener, Server
from wharf.build.service import BuildService
from wharf.daemonconfig import (
    Settings,
    cgroup_driver,
    container_defaults,
    default_bridge,
    dns_defaults,
    publish_address,
    read_settings,
    registry_settings,
)
from wharf.daemonreload import added_runtimes, reload_settings
from wharf.engine.config import BUILTIN, EngineConfig
from wharf.engine.engine import Engine
from wharf.engine.id_maps import parse_remap
from wharf.engine.image_gc import parse_image_gc
from wharf.engine.security import read_profile
from wharf.errors import Conflict, WharfError
from wharf.kernel.process import one_heap
from wharf.wire.yamltext import parse_yaml

SWITCH_SECONDS = 0.001
"""How long a busy thread keeps the interpreter from the loop; the default of 5 ms is felt in every small request."""
GARBAGE_THRESHOLDS = (700, 5, 2)
"""gc.set_threshold: new objects until the newest are searched, and how many such searches until all are."""
IDLE_CHECKS = 20
"""How often in an idle timeout one looks whether somebody is there."""

log = logging.getLogger("wharf")


def main(argv: list[str] | None = None) -> int:
    """The command `wharfd`; returns its exit code."""
    try:
        argv = sys.argv[1:] if argv is None else argv
        settings = read_settings(argv)
        if settings.validate:
            print("configuration OK")
            return 0
        _start_logging(settings)
        for warning in settings.warnings:
            log.warning("%s", warning)
        take_pidfile(settings.pidfile)
    except WharfError as error:
        print(f"wharfd: {error}", file=sys.stderr)
        return 1
    sys.setswitchinterval(SWITCH_SECONDS)
    one_heap()
    try:
        return uvloop.run(_serve(settings, argv))
    except WharfError as error:
        print(f"failed to start daemon: {error}", file=sys.stderr)
        return 1
    finally:
        os.unlink(settings.pidfile)


async def _serve(settings: Settings, argv: list[str]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: log.info("SIGHUP: not before the start is over"))
    # Sockets first: a name that is taken costs nothing then, and early clients wait for the engine.
    listeners = _listeners(settings)
    try:
        engine = await loop.run_in_executor(None, Engine.open, engine_config(settings), loop)
    except BaseException:
        close_listeners(listeners)
        raise
    builds = await loop.run_in_executor(None, BuildService, engine)
    server = Server(Api(engine, builds), ROUTES)
    _reload_on_hangup(loop, settings, argv, engine)
    idle: asyncio.Task[None] | None = None
    try:
        for listener in listeners:
            await server.listen(listener)
        _set_aside()
        log.info("Wharf %s listens on %s", __version__, ", ".join(settings.hosts))
        notify("READY=1")
        if settings.idle_timeout > 0:
            idle = loop.create_task(_end_when_idle(server, engine, settings.idle_timeout, stop))
        await stop.wait()
    finally:
        notify("STOPPING=1")
        if idle is not None:
            idle.cancel()
        await server.close()
        await loop.run_in_executor(None, builds.close)
        await loop.run_in_executor(None, engine.close)
    return 0


def _set_aside() -> None:
    """What was made at start stays: it is not looked at in search of garbage any more, so a whole search is cheap.

    It comes each hundred requests or so. By default it came each few thousand, took several ms, and what requests left
    behind in cycles until then was 10 MB.
    """
    gc.freeze()  # with some two hundred objects of garbage: to look for them first would take a start 30 ms
    gc.collect()  # the next whole search comes when there is a quarter more than now: than nothing
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def _reload_on_hangup(loop: asyncio.AbstractEventLoop, settings: Settings, argv: list[str], engine: Engine) -> None:
    """SIGHUP reads the settings again; what is wrong with them is logged, and nothing changes."""
    in_force = settings

    def reload() -> None:
        nonlocal in_force
        try:
            in_force = reload_settings(in_force, read_settings(argv), engine)
        except WharfError as error:
            log.error("reload: %s", error)
            return
        _set_level(in_force)

    loop.add_signal_handler(signal.SIGHUP, reload)


def engine_config(settings: Settings) -> EngineConfig:
    """The engine's share of the settings."""
    return EngineConfig(
        data_root=settings.data_root,
        exec_root=settings.exec_root,
        bip=settings.bip,
        ip_forward=settings.ip_forward,
        icc=settings.icc,
        mtu=settings.mtu or 1500,
        default_bridge=default_bridge(settings),
        network_opts=settings.default_network_opts,
        dns=dns_defaults(settings),
        containers=container_defaults(settings),
        publish=publish_address(settings),
        forward_accept=settings.forward_accept,
        default_pools=tuple(settings.default_address_pools),
        log_driver=settings.log_driver,
        log_opts=settings.log_opts,
        labels=tuple(settings.labels),
        cdi_spec_dirs=tuple(item for item in settings.cdi_spec_dirs if item),
        parse_yaml=parse_yaml,
        shutdown_timeout=settings.shutdown_timeout,
        live_restore=settings.live_restore,
        restart_unhealthy=settings.restart_unhealthy,
        selinux=settings.selinux_enabled,
        debug=settings.debug,
        id_maps=parse_remap(settings.userns_remap),
        seccomp_profile=read_profile(settings.seccomp_profile),
        seccomp_name=settings.seccomp_profile or BUILTIN,
        no_new_privileges=settings.no_new_privileges,
        cgroup_driver=cgroup_driver(settings),
        runtimes=added_runtimes(settings),
        default_runtime=settings.default_runtime,
        build_entitlements=settings.build_entitlements,
        registries=registry_settings(settings),
        image_gc=parse_image_gc(settings.image_gc),
    )


def _listeners(settings: Settings) -> list[Listener]:
    tls = None
    if settings.secured:
        tls = TlsFiles(settings.tlscert, settings.tlskey, settings.tlscacert, bool(settings.tlsverify))
    listeners: list[Listener] = []
    try:
        for host in settings.hosts:
            if host.startswith("fd://"):
                listeners += inherited_listeners(host)
            else:
                listeners.append(open_listener(host, settings.group, tls, unproven=settings.unproven))
    except BaseException:
        close_listeners(listeners)
        raise
    return listeners


async def _end_when_idle(server: Server, engine: Engine, seconds: int, stop: asyncio.Event) -> None:
    """A private daemon ends when for `seconds` nobody was connected, nothing ran and no restart was pending."""
    seen = time.monotonic()
    while time.monotonic() - seen < seconds:
        await asyncio.sleep(seconds / IDLE_CHECKS)
        if server.used() or engine.busy():
            seen = time.monotonic()
    log.info("nothing ran and nobody asked for %d seconds", seconds)
    stop.set()


def take_pidfile(path: str) -> None:
    """Write our pid; raises Conflict when the daemon that wrote the file still runs."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        with open(path, encoding="ascii") as file:
            old = int(file.read(32).strip() or "0")
    except (FileNotFoundError, ValueError, UnicodeDecodeError):
        old = 0
    if old and old != os.getpid() and _is_wharfd(old):
        raise Conflict(
            f"failed to start daemon, ensure wharfd is not running or delete {path}: process with PID {old} is "
            "still running"
        )
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def _is_wharfd(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"wharfd" in file.read(4096)
    except OSError:
        return False


def notify(state: str) -> None:
    """Tell systemd, when it started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("cannot notify %s: %s", address, error)


class _Format(logging.Formatter):
    """The line format of dockerd: time, level, message."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = record.levelname.lower()
        return f'time="{stamp}.{int(record.msecs):03d}Z" level={level} msg="{quoted}"'


def _start_logging(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format())
    root = logging.getLogger("wharf")
    root.addHandler(handler)
    root.propagate = False
    _set_level(settings)


def _set_level(settings: Settings) -> None:
    levels = {"warn": logging.WARNING, "fatal": logging.CRITICAL}
    logging.getLogger("wharf").setLevel(levels.get(settings.log_level) or getattr(logging, settings.log_level.upper()))


if __name__ == "__main__":
    sys.exit(main())
