"""`wharf-runtime`: the runtime as a command of its own, with the verbs and flags of an OCI runtime (runc's)."""

import os
import sys

from wharf import __version__
from wharf.runtime.oci.arguments import Flag, Parsed, parse
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.example import OCI_VERSION
from wharf.runtime.oci.log import Log
from wharf.runtime.oci.sealed import is_sealed, run_sealed
from wharf.runtime.oci.state import Store
from wharf.runtime.oci.verbs import VERBS, Call, Verb, check_preserved

DEFAULT_ROOT = "/run/wharf-runtime"
_GLOBAL = {
    "root": Flag(),
    "log": Flag(),
    "log-format": Flag(),
    "debug": Flag("bool"),
    "systemd-cgroup": Flag("bool"),
    "rootless": Flag(),
    "criu": Flag(),
    "version": Flag("bool", "v"),
    "help": Flag("bool", "h"),
}
_USAGE = f"""usage: wharf-runtime [GLOBAL FLAGS] COMMAND [FLAGS] [CONTAINER] [ARGUMENTS]

An OCI runtime: containers from bundles (a directory with config.json and a root file system).

global flags:
  --root DIR         where the state of containers is (default {DEFAULT_ROOT})
  --log FILE         write errors there too; --log-format text|json
  --debug            the steps too
  --systemd-cgroup   systemd makes the cgroup: cgroupsPath is slice:prefix:name

commands: {", ".join(name for name in VERBS if name not in ("checkpoint", "restore"))}
"""


def main() -> None:
    """The command's entry point."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    try:
        given = parse(arguments, _GLOBAL)
    except CommandFailed as error:
        Log().fail(error.text)
        return error.code
    verb = given.words[0] if given.words else "help"
    if given.on("version") or verb == "version":
        print(f"wharf-runtime version {__version__}\nspec: {OCI_VERSION}")
        return 0
    if given.on("help") or verb in ("help", "h"):
        print(_USAGE, end="")
        return 0
    log = Log(given.text("log"), given.text("log-format"), given.on("debug"))
    if verb not in VERBS:
        log.fail(f"No help topic for '{verb}'")
        return 3
    return _call(VERBS[verb], given, log, arguments)


def _check_global(given: Parsed) -> None:
    """Refuse values that would be passed over."""
    form, rootless = given.text("log-format"), given.text("rootless", "auto")
    if form not in ("", "text", "json"):
        raise CommandFailed(f"invalid log-format: {form}")
    if rootless not in ("auto", "false"):
        raise CommandFailed(
            f"--rootless={rootless} is not supported: auto and false are; the runtime needs the host's root"
        )
    if given.text("criu"):
        raise CommandFailed("--criu has no use: checkpoint and restore are not supported")
    if os.path.abspath(given.text("root", DEFAULT_ROOT)) == "/":
        raise CommandFailed("Option --root argument should not be set to /")


def _call(verb: Verb, given: Parsed, log: Log, arguments: list[str]) -> int:
    try:
        _check_global(given)
        flags = verb.parse(given.words)
        if verb.enters and not is_sealed():
            check_preserved(flags)
            run_sealed(arguments)
        store = Store(given.text("root", DEFAULT_ROOT))
        return verb.run(Call(store, log, flags, given.on("systemd-cgroup")))
    except CommandFailed as error:
        log.fail(verb.prefix + error.text)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        log.fail(f"{verb.prefix}{error.strerror or error}{where}")
    return verb.code
