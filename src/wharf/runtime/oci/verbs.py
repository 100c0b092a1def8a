"""The verbs of the command line: their flags, and the call that each becomes."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wharf.kernel.probe import probe
from wharf.runtime.oci import create as creation
from wharf.runtime.oci import delete, example, execute, foreground, kill, listing, start, update
from wharf.runtime.oci.arguments import Flag, Parsed, check_count, duration, parse
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.log import Log
from wharf.runtime.oci.state import Store

_TEXT, _NUMBER, _SWITCH = Flag(), Flag("number"), Flag("bool")
_CREATE = {
    "bundle": Flag(short="b"),
    "console-socket": _TEXT,
    "pid-file": _TEXT,
    "no-pivot": _SWITCH,
    "no-new-keyring": _SWITCH,
    "preserve-fds": _NUMBER,
    "pidfd-socket": _TEXT,
}
_RUN = {**_CREATE, "detach": Flag("bool", "d"), "keep": _SWITCH, "no-subreaper": _SWITCH}
_EXEC = {
    "process": Flag(short="p"),
    "detach": Flag("bool", "d"),
    "tty": Flag("bool", "t"),
    "cwd": _TEXT,
    "env": Flag("list", "e"),
    "user": Flag(short="u"),
    "additional-gids": Flag("list", "g"),
    "cap": Flag("list", "c"),
    "no-new-privs": _SWITCH,
    "apparmor": _TEXT,
    "process-label": _TEXT,
    "console-socket": _TEXT,
    "pid-file": _TEXT,
    "preserve-fds": _NUMBER,
    "ignore-paused": _SWITCH,
    "pidfd-socket": _TEXT,
    "cgroup": Flag("list"),
}
_UPDATE = {
    "resources": Flag(short="r"),
    **dict.fromkeys(update.NUMBER_FLAGS, _NUMBER),
    **dict.fromkeys(update.TEXT_FLAGS, _TEXT),
}
_FORMAT = Flag(short="f")


@dataclass(slots=True)
class Call:
    """One call of the command: its global flags made into values, and the verb's own."""

    store: Store
    log: Log
    flags: Parsed
    systemd_cgroup: bool = False

    def name(self) -> str:
        """The container's id, the first word."""
        if not self.flags.words or not self.flags.words[0]:
            raise CommandFailed("container id cannot be empty")
        return self.flags.words[0]


@dataclass(frozen=True, slots=True)
class Verb:
    """`prefix` opens its errors; `code` is the exit status of a failure; `enters`: a child goes into a container.

    It takes at least and at most so many `words`, None being any number: then they are those of another program.
    """

    run: Callable[[Call], int]
    flags: Mapping[str, Flag]
    words: tuple[int, int | None] = (1, 1)
    prefix: str = ""
    code: int = 1
    enters: bool = False

    def parse(self, words: list[str]) -> Parsed:
        """The words behind the verb's own, which is the first; raises CommandFailed."""
        parsed = parse(words[1:], self.flags, anywhere=self.words[1] is not None)
        check_count(words[0], parsed.words, *self.words)
        return parsed


def check_preserved(flags: Parsed) -> None:
    """Every descriptor that is to be kept must be open; only the first process of a call can still tell."""
    for fd in range(3, 3 + _preserved(flags)):
        try:
            os.fstat(fd)
        except OSError:
            raise CommandFailed(f"please check that preserved-fd {fd} is present") from None


def _preserved(flags: Parsed) -> int:
    return flags.number("preserve-fds") + _listen_fds()


def _listen_fds() -> int:
    given = os.environ.get("LISTEN_FDS", "")
    return int(given) if given.isdecimal() else 0


def _absolute(path: str) -> str:
    """A path that a change of the working directory does not change."""
    return os.path.abspath(path) if path else ""


def _creation(call: Call, detached: bool) -> creation.Created:
    flags = call.flags
    if flags.on("no-pivot"):
        raise CommandFailed("--no-pivot is not supported: without pivot_root the host's root stays within reach")
    options = creation.Options(
        bundle=flags.text("bundle", "."),
        console_socket=_absolute(flags.text("console-socket")),
        pid_file=_absolute(flags.text("pid-file")),
        no_new_keyring=flags.on("no-new-keyring"),
        preserve_fds=_preserved(flags),
        listen_fds=_listen_fds(),
        detached=detached,
        pidfd_socket=_absolute(flags.text("pidfd-socket")),
        systemd_cgroup=call.systemd_cgroup,
    )
    return creation.create(call.store, call.name(), options, probe(), call.log)


def _create(call: Call) -> int:
    _creation(call, True)
    return 0


def _run(call: Call) -> int:
    detached = call.flags.on("detach")
    name = call.name()
    created = _creation(call, detached)
    if not detached:
        foreground.hold_signals()
    try:
        start.start(call.store, name)
    except CommandFailed:
        created.child.kill()
        delete.delete(call.store, name, True, call.log)
        raise
    if detached:
        return 0
    code = foreground.wait(created.child.pid, created.child.pidfd, created.master)
    if not call.flags.on("keep"):
        delete.delete(call.store, name, True, call.log)
    return code


def _start(call: Call) -> int:
    start.start(call.store, call.name())
    return 0


def _state(call: Call) -> int:
    print(listing.state(call.store, call.name()))
    return 0


def _kill(call: Call) -> int:
    words = call.flags.words
    kill.kill(call.store, call.name(), words[1] if len(words) > 1 else "TERM", call.flags.on("all"))
    return 0


def _delete(call: Call) -> int:
    delete.delete(call.store, call.name(), call.flags.on("force"), call.log)
    return 0


def _pause(call: Call) -> int:
    kill.pause(call.store, call.name())
    return 0


def _resume(call: Call) -> int:
    kill.resume(call.store, call.name())
    return 0


def _exec(call: Call) -> int:
    flags = call.flags
    options = execute.Options(
        process_file=flags.text("process"),
        command=flags.words[1:],
        detach=flags.on("detach"),
        tty=flags.on("tty"),
        cwd=flags.text("cwd"),
        env=flags.many("env"),
        user=flags.text("user"),
        groups=[group for item in flags.many("additional-gids") for group in item.split(",")],
        caps=flags.many("cap"),
        no_new_privs=flags.on("no-new-privs") if "no-new-privs" in flags.values else None,
        apparmor=flags.text("apparmor"),
        process_label=flags.text("process-label"),
        console_socket=flags.text("console-socket"),
        pid_file=flags.text("pid-file"),
        preserve_fds=_preserved(flags),
        ignore_paused=flags.on("ignore-paused"),
        pidfd_socket=flags.text("pidfd-socket"),
        cgroups=flags.many("cgroup"),
    )
    return execute.execute(call.store, call.name(), options, probe())


def _list(call: Call) -> int:
    print(listing.listing(call.store, call.flags.text("format", "table"), call.flags.on("quiet")), end="")
    return 0


def _ps(call: Call) -> int:
    words = call.flags.words[1:]
    print(listing.ps(call.store, call.name(), call.flags.text("format", "table"), words), end="")
    return 0


def _events(call: Call) -> int:
    interval = duration(call.flags.text("interval", "5s"))
    listing.events(call.store, call.name(), interval, call.flags.on("stats"))
    return 0


def _update(call: Call) -> int:
    update.update(call.store, call.name(), update.resources_of(call.flags, call.log), probe())
    return 0


def _features(_call: Call) -> int:
    print(json.dumps(example.features(), indent=2))
    return 0


def _spec(call: Call) -> int:
    if call.flags.on("rootless"):
        raise CommandFailed("spec --rootless is not supported")
    path = listing.example_path(call.flags.text("bundle"))
    with open(path, "x") as file:
        json.dump(example.example(), file, indent="\t")
    return 0


def _absent(call: Call) -> int:
    raise CommandFailed("checkpoint and restore are not supported")


VERBS: dict[str, Verb] = {
    "checkpoint": Verb(_absent, {}, (0, None)),
    "create": Verb(_create, _CREATE, prefix="wharf-runtime create failed: ", enters=True),
    "delete": Verb(_delete, {"force": Flag("bool", "f")}),
    "events": Verb(_events, {"interval": _TEXT, "stats": _SWITCH}),
    "exec": Verb(_exec, _EXEC, (1, None), "exec failed: ", 255, enters=True),
    "features": Verb(_features, {}, (0, 0)),
    "kill": Verb(_kill, {"all": Flag("bool", "a")}, (1, 2)),
    "list": Verb(_list, {"format": _FORMAT, "quiet": Flag("bool", "q")}, (0, 0)),
    "pause": Verb(_pause, {}),
    "ps": Verb(_ps, {"format": _FORMAT}, (1, None)),
    "restore": Verb(_absent, {}, (0, None)),
    "resume": Verb(_resume, {}),
    "run": Verb(_run, _RUN, prefix="wharf-runtime run failed: ", enters=True),
    "spec": Verb(_spec, {"bundle": Flag(short="b"), "rootless": _SWITCH}, (0, 0)),
    "start": Verb(_start, {}),
    "state": Verb(_state, {}),
    "update": Verb(_update, _UPDATE),
}
