"""The `wharf` command: reads the global options, picks the verb and imports that verb's module only.

What is imported here is paid by every command: nothing but a table and a few functions.
"""

from __future__ import annotations

import posix
import sys

from wharf.cli.session import Session
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# verb -> module in wharf.cli; the function has the verb's name
VERBS = {
    "run": "run", "create": "run", "exec": "execute", "ps": "ps", "logs": "logs", "inspect": "inspect",
    "start": "start", "attach": "start", "stop": "lifecycle", "restart": "lifecycle", "kill": "lifecycle",
    "pause": "lifecycle", "unpause": "lifecycle", "rm": "lifecycle", "wait": "lifecycle", "rename": "lifecycle",
    "port": "container_views", "diff": "container_views", "top": "container_views", "cp": "copy",
    "export": "archives", "save": "archives", "load": "archives", "import": "archives",
    "images": "images", "rmi": "images", "tag": "images", "history": "images", "commit": "images",
    "version": "system", "info": "system", "events": "system", "update": "update",
    "registry": "registry", "debug": "debug", "completion": "completion",
    "stats": "stats", "build": "build", "compose": "compose",
    "pull": "transfer", "push": "transfer", "login": "login", "logout": "login", "search": "search",
}  # fmt: skip
# noun -> its verbs -> (module, function)
NOUNS = {
    "container": {
        **{verb: (VERBS[verb], verb) for verb in (
            "run", "create", "exec", "logs", "start", "attach", "stop", "restart", "kill", "pause", "unpause", "rm",
            "wait", "rename", "port", "diff", "top", "cp", "export", "commit", "update", "stats",
        )},
        "ls": ("ps", "ps"), "list": ("ps", "ps"), "ps": ("ps", "ps"), "remove": ("lifecycle", "rm"),
        "inspect": ("inspect", "container_inspect"), "prune": ("prune", "container_prune"),
    },
    "image": {
        **{verb: (VERBS[verb], verb) for verb in ("save", "load", "import", "tag", "history", "build", "pull", "push")},
        "ls": ("images", "images"), "list": ("images", "images"), "rm": ("images", "rmi"), "remove": ("images", "rmi"),
        "inspect": ("inspect", "image_inspect"), "bootstrap": ("bootstrap", "bootstrap"),
        "serve": ("registry", "serve"),
        "prune": ("prune", "image_prune"),
    },
    "volume": {
        "ls": ("volumes", "ls"), "list": ("volumes", "ls"), "create": ("volumes", "create"), "rm": ("volumes", "rm"),
        "remove": ("volumes", "rm"), "inspect": ("inspect", "volume_inspect"), "prune": ("prune", "volume_prune"),
    },
    "network": {
        "inspect": ("inspect", "network_inspect"), "ls": ("networks", "ls"), "list": ("networks", "ls"),
        **{verb: ("networks_change", verb) for verb in ("create", "connect", "disconnect", "rm", "prune")},
        "remove": ("networks_change", "rm"),
    },
    "builder": {
        "prune": ("builder", "prune"), "build": ("build", "build"), "ls": ("builder", "entries"),
        "du": ("disk_usage", "builder_du"),
    },
    "context": {
        **{verb: ("context", verb) for verb in ("create", "update", "ls", "inspect", "rm", "use", "export", "import")},
        "show": ("context", "show_"), "list": ("context", "ls"), "remove": ("context", "rm"),
    },
    "plugin": {
        **{verb: ("plugins", verb) for verb in ("ls", "inspect", "rm", "enable", "disable")},
        "list": ("plugins", "ls"), "remove": ("plugins", "rm"),
    },
    "manifest": {
        "annotate": ("manifest", "annotate"),
        "create": ("manifest", "create"),
        "inspect": ("manifest", "inspect"),
        "push": ("manifest", "push"),
        "rm": ("manifest", "rm"),
    },
    "system": {"info": ("system", "info"), "events": ("system", "events"), "check": ("system_check", "check"),
               "dial-stdio": ("dial", "dial_stdio"), "df": ("disk_usage", "df"), "prune": ("prune", "system_prune")},
}  # fmt: skip
# What docker has and wharf has not yet: named, so that nobody takes it for a typing error.
LATER = "bake buildx checkpoint config node secret service stack swarm trust"
TAKES_VALUE = {"-H": "host", "--host": "host", "-c": "context", "--context": "context", "--config": "config",
               "-l": "log_level", "--log-level": "log_level"}  # fmt: skip
TLS_FILES = ("--tlscacert", "--tlscert", "--tlskey")
TLS_SWITCHES = ("--tls", "--tlsverify")


def main() -> NoReturn:
    """The console script: ends with the exit status.

    It ends at once. To take the modules of a `compose up` apart would cost 40 ms, and nothing waits for it: threads
    are joined or daemons, files are closed where they were opened.
    """
    status = _guarded()
    sys.stderr.flush()
    posix._exit(status & 0xFF)


def _guarded() -> int:
    """The exit status; messages are on standard error by then."""
    session = Session()
    try:
        status = _run(session, sys.argv[1:])
        sys.stdout.flush()
        return status
    except WharfError as error:
        if type(error).__name__ == "HelpWanted":  # by name: flags.py is not imported for this
            session.write(error.message)
            _flush()
            return 0
        _flush()
        return session.report(error)
    except SystemExit:
        _flush()
        raise
    except KeyboardInterrupt:
        _flush()
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`wharf ps | head -1`): nothing more can be said to it.
        _discard_stdout()
        return 141
    except Exception as error:
        # What nobody foresaw: a plain sentence, the trace for those who ask for it with -D.
        _flush()
        if session.debug:
            raise
        what = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else repr(error)
        session.complain(f"wharf: {what} (wharf -D shows where)")
        return 1


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it, or the disk is full: what can be said goes to standard error
        _discard_stdout()


def _discard_stdout() -> None:
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(session: Session, args: list[str]) -> int:
    rest = _global_options(session, args)
    if rest is None:
        return 0
    verb, arguments = rest[0], rest[1:]
    if verb in VERBS:
        return _call(session, VERBS[verb], verb, arguments)
    if verb in NOUNS:
        return _noun(session, verb, arguments)
    if verb == "__complete":
        return _call(session, "completion", "complete", arguments)
    if verb == "help":
        return _run(session, [*arguments, "--help"]) if arguments else _show_help(session)
    if verb in LATER.split():
        raise WharfError(f"wharf: '{verb}' is not there yet")
    raise WharfError(f"wharf: unknown command: wharf {verb}\n\nRun 'wharf --help' for more information")


def _global_options(session: Session, args: list[str]) -> list[str] | None:
    """What follows docker's global options, or None when an option was all that was asked."""
    position = 0
    while position < len(args) and args[position].startswith("-"):
        word, equals, value = args[position].partition("=")
        position += 1
        if word in TAKES_VALUE or word in TLS_FILES:
            if not equals:
                if position >= len(args):
                    raise WharfError(f"flag needs an argument: {word}\n\nRun 'wharf --help' for more information")
                value = args[position]
                position += 1
            if word in TLS_FILES:
                session.tls[word[2:]] = value
            else:
                setattr(session, TAKES_VALUE[word], value)
        elif word in TLS_SWITCHES:
            session.tls[word[2:]] = "" if value in ("false", "0") else "true"
        elif word in ("-D", "--debug"):
            session.debug = True
        elif word in ("-v", "--version"):
            from wharf import __version__

            session.line(f"Wharf version {__version__}")
            return None
        elif word in ("-h", "--help"):
            _show_help(session)
            return None
        else:
            kind = "flag" if word.startswith("--") else "shorthand flag"
            raise WharfError(f"unknown {kind}: {word}\n\nRun 'wharf --help' for more information")
    if position == len(args):
        _show_help(session)
        return None
    return args[position:]


def _noun(session: Session, noun: str, args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        from wharf.cli.overview import noun_help

        session.write(noun_help(noun, sorted(NOUNS[noun])))
        return 0
    if args[0] not in NOUNS[noun]:
        from wharf.cli.overview import DOCKER_VERBS

        if args[0] in DOCKER_VERBS[noun].split():
            raise WharfError(f"wharf: '{noun} {args[0]}' is not there yet")
        raise WharfError(
            f"wharf: unknown command: wharf {noun} {args[0]}\n\n"
            f"Usage:  wharf {noun}\n\nRun 'wharf {noun} --help' for more information"
        )
    module, function = NOUNS[noun][args[0]]
    return _call(session, module, function, args[1:])


def _call(session: Session, module: str, function: str, args: list[str]) -> int:
    loaded = __import__(f"wharf.cli.{module}", fromlist=[function])
    return int(getattr(loaded, function + "_" if function == "import" else function)(session, args))


def _show_help(session: Session) -> int:
    from wharf.cli.overview import overview

    session.write(overview())
    return 0


if __name__ == "__main__":
    main()
