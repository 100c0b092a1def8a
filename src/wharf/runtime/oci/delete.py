"""`delete`: processes, cgroup, the poststop hooks, and the state, in this order."""

from wharf.runtime.oci import cgroups, hooks
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.log import Log
from wharf.runtime.oci.start import kill_and_wait
from wharf.runtime.oci.state import Store


def delete(store: Store, name: str, force: bool, log: Log) -> None:
    """Remove a container that has stopped or was never started; with `force` any, and one that is not there is fine."""
    try:
        with store.locked(name):
            _delete(store, name, force, log)
    except CommandFailed as error:
        if not force or error.text != "container does not exist":
            raise
        store.remove(name)  # a create that was killed before it wrote anything


def _delete(store: Store, name: str, force: bool, log: Log) -> None:
    container = store.load(name)
    status = store.status(container)
    # `creating` under our lock: whoever created it is dead.
    if status in ("running", "paused") and not force:
        raise CommandFailed(f"cannot delete container {name} that is not stopped: {status}")
    kill_and_wait(container)
    try:
        cgroups.remove(container)
    except OSError as error:
        raise CommandFailed(f"unable to remove the cgroup of {name}: {error}") from None
    for problem in hooks.run_poststop(container.config, container.state("stopped")):
        log.write("warning", problem)
    store.remove(name)
