"""A container as the engine holds it: the record, what runs, and who waits for it.

`record` is what is stored; everything else here is lost with the process and made again by `restore`.
All changes are made under `lock`, which no waiting holds; views read the record as it is.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wharf.engine.gate import Gate
from wharf.engine.loop import Timer, fail, resolve
from wharf.engine.status import state_word
from wharf.errors import Conflict, Invalid, NotFound
from wharf.runtime.lifecycle import State, Verb, require
from wharf.spec.container import ContainerRecord, ExecRecord
from wharf.spec.network import Endpoint

if TYPE_CHECKING:
    from wharf.engine.health import HealthWatch
    from wharf.engine.shipper import Shipper
    from wharf.runtime.running import Running

Condition = Literal["not-running", "next-exit", "removed"]
ATTACH_CLOSED = "the container will not start"


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How a container ended; `error` is why it could not start or be removed, or empty."""

    status_code: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """Which streams a client wants; `stream` false ends after the replay that `logs` asks for."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = True
    logs: bool = False
    framed: bool | None = None
    """With Docker's headers or without; None: with them unless there is a terminal."""


class Container:
    """One container, live."""

    def __init__(self, record: ContainerRecord) -> None:
        self.record = record
        self.lock = threading.RLock()
        self.running: Running | None = None
        self.endpoints: tuple[Endpoint, ...] = ()
        self.stopped: Future[None] = Future()
        """Resolves when the run that is on now has ended and is recorded."""
        self.waiting: list[tuple[Condition, Future[WaitResult]]] = []
        self.attaching: list[tuple[AttachRequest, Future[Any]]] = []
        self.removal: Future[None] | None = None
        """Resolves when it is gone, once its removal was asked for: the kill before it, then the removal itself."""
        self.coming_back = 0
        """Restarts under way: a run that ends for one is not the end that AutoRemove means."""
        self.restart_timer: Timer | None = None
        self.restart_delay = 0.0
        self.health: HealthWatch | None = None
        """The checks of the run that is on, when it has any and is not paused."""
        self.started_monotonic = 0.0
        self.execs: dict[str, LiveExec] = {}
        self.gate = Gate()
        self.held: list[Running] = []
        """The run that is held still, once for each that holds it (see `freezer`)."""
        self.shipper: Shipper | None = None
        """What sends the log away, from a start until all of it is sent."""

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.record.id

    def require(self, verb: Verb, given: str) -> None:
        """Raise what Docker answers when the state forbids it; `given` is the name as the client gave it."""
        require(verb, State(state_word(self.record.state)), self.id, given)

    def require_stays(self) -> None:
        """Raise Conflict in Docker's words for a start of what is being removed, or could not be removed."""
        state = self.record.state
        if self.removal is not None or state.removal_in_progress or state.dead:
            raise Conflict("container is marked for removal and cannot be started")

    def must_run(self) -> "Running":
        """What runs; raises Conflict in Docker's words when nothing does."""
        if self.running is None:
            raise Conflict(f"container {self.id} is not running")
        return self.running

    def wake(self, result: WaitResult, *conditions: Condition) -> None:
        """Answer those who wait for one of the conditions."""
        with self.lock:
            ready = [future for condition, future in self.waiting if condition in conditions]
            self.waiting = [item for item in self.waiting if item[0] not in conditions and not item[1].cancelled()]
        for future in ready:
            resolve(future, result)

    def drop_attaching(self) -> None:
        """Tell those who wait for a start that there will be none."""
        attaching, self.attaching = self.attaching, []
        for _, future in attaching:
            fail(future, Conflict(ATTACH_CLOSED))


class LiveExec:
    """One exec: its record and, while it runs, its process."""

    def __init__(self, record: ExecRecord) -> None:
        self.record = record
        self.lock = threading.Lock()
        self.running: Running | None = None
        self.started = False
        self.size: tuple[int, int] | None = None


class Containers:
    """All containers by id and name. Names are reserved before a record is stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Container] = {}
        self._names: dict[str, str] = {}
        self._aliases: set[str] = set()
        """Those of the names that links gave: `container/alias`."""
        self._execs: dict[str, tuple[Container, LiveExec]] = {}

    def __iter__(self) -> Iterator[Container]:
        with self._lock:
            return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def reserve(self, name: str, container_id: str) -> None:
        """Take a name; raises Conflict in Docker's words."""
        with self._lock:
            owner = self._names.setdefault(name, container_id)
        if owner != container_id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{owner}". You have to '
                "remove (or rename) that container to be able to reuse that name."
            )

    def release(self, name: str, container_id: str) -> None:
        """Give a name back if it is this container's."""
        with self._lock:
            if self._names.get(name) == container_id:
                del self._names[name]

    def known(self) -> set[str]:
        """Ids of all containers, those that are just being made included."""
        with self._lock:
            return {*self._by_id, *self._names.values()}

    def taken(self, name: str) -> bool:
        """Whether a name is in use."""
        return name in self._names

    def add(self, container: Container) -> None:
        """A container that is stored now."""
        with self._lock:
            self._by_id[container.id] = container
            self._names[container.record.name] = container.id
        self.relink(container.record)

    def relink(self, record: ContainerRecord, old_name: str = "") -> None:
        """The names that a container gives to others by its links, anew; `old_name` is what it was called before. A
        name that is taken stays its owner's, as Docker has it."""
        heads = {f"{name}/" for name in (record.name, old_name) if name}
        with self._lock:
            for name in [name for name in self._aliases if name[: name.find("/") + 1] in heads]:
                self._aliases.discard(name)
                del self._names[name]
            for alias, target in record.links.items():
                name = f"{record.name}/{alias}"
                if self._names.setdefault(name, target) == target:
                    self._aliases.add(name)

    def names_of(self, record: ContainerRecord) -> list[str]:
        """All names of a container, those that links give it included."""
        with self._lock:
            return sorted([record.name, *(name for name in self._aliases if self._names[name] == record.id)])

    def discard(self, container: Container) -> None:
        """A container that is gone."""
        with self._lock:
            self._by_id.pop(container.id, None)
            head = container.record.name + "/"
            for name in [name for name, owner in self._names.items() if owner == container.id or name.startswith(head)]:
                del self._names[name]
                self._aliases.discard(name)
            for exec_id in container.execs:
                self._execs.pop(exec_id, None)

    def live(self, name: str) -> Container:
        """By id, name or unambiguous beginning of an id; raises NotFound, Invalid."""
        name = name.removeprefix("/")
        with self._lock:
            found = self._by_id.get(name) or self._by_id.get(self._names.get(name, ""))
            if found is not None:
                return found
            close = [item for key, item in self._by_id.items() if key.startswith(name)] if name else []
        if len(close) > 1:
            raise Invalid(f"multiple IDs found with provided prefix: {name}")
        if not close:
            raise NotFound(f"No such container: {name}")
        return close[0]

    def find(self, name: str) -> ContainerRecord:
        """As `live`, the record only."""
        return self.live(name).record

    def all(self) -> list[ContainerRecord]:
        """Every record, as it is now."""
        return [container.record for container in self]

    def add_exec(self, container: Container, item: LiveExec) -> None:
        """A new exec of a container."""
        with self._lock:
            container.execs[item.record.id] = item
            self._execs[item.record.id] = (container, item)

    def find_exec(self, exec_id: str) -> tuple[Container, LiveExec]:
        """Raises NotFound in Docker's words."""
        found = self._execs.get(exec_id)
        if found is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def drop_exec(self, exec_id: str) -> None:
        """Forget an exec."""
        with self._lock:
            found = self._execs.pop(exec_id, None)
            if found is not None:
                found[0].execs.pop(exec_id, None)
