"""Does the steps of a plan through the engine: several at once, each as soon as what it comes after is done.

One loop decides; threads do. Waits hold no thread: the loop looks at a container when it begins to wait and again when
an event names it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from wharf.compose import labels
from wharf.compose.actions import ACTIONS, Context
from wharf.compose.conditions import MET, Failed, state_of
from wharf.compose.engine import Engine, Events
from wharf.compose.observed import Observed
from wharf.compose.project import Project
from wharf.compose.record import Record, field
from wharf.compose.steps import Plan, Step
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORKERS = 16
"""Steps at once unless COMPOSE_PARALLEL_LIMIT says otherwise."""
Report = Callable[[str, str], None]


class TimedOut(WharfError):
    """What was waited for did not come in time."""


class _Waiting(Record):
    step: Step
    left: dict[str, str]
    """Ids of the containers that are not there yet, with their names."""


class _Progress(Record):
    done: set[str] = field(default_factory=set)
    failed: list[BaseException] = field(default_factory=list)
    running: int = 0


class Applier:
    """Runs plans of one project; keeps the ids of containers between them."""

    def __init__(
        self, engine: Engine, project: Project, observed: Observed, report: Report, workers: int = WORKERS
    ) -> None:
        self.context = Context(engine, project, observed, report)
        self._engine = engine
        self._report = report
        self._workers = max(1, workers)
        self._queue: SimpleQueue[tuple[str, Any, Any]] = SimpleQueue()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._waiting: dict[str, _Waiting] = {}
        self._events: Events | None = None
        self._state = _Progress()
        self._pending: dict[str, tuple[Step, set[str]]] = {}
        self._dependents: dict[str, list[str]] = {}

    def run(self, steps: Iterable[Step], timeout: float | None = None) -> None:
        """Does the steps; raises the first failure when what had begun by then is over, TimedOut after `timeout`."""
        wanted = list(steps)
        deadline = None if timeout is None else time.monotonic() + timeout
        if any(step.action == "wait" for step in wanted):
            self._events = Events(self._engine, labels.filters(self.context.project.name), self._heard)
        try:
            self._loop(wanted, deadline)
        finally:
            for _ in self._threads:
                self._jobs.put(None)
            for thread in self._threads:
                thread.join()
            self._threads.clear()
            if self._events is not None:
                self._events.close()
                self._events = None
        if self._state.failed:
            raise self._state.failed[0]

    def _loop(self, wanted: list[Step], deadline: float | None) -> None:
        state = self._state
        ready = self._enter(wanted)
        while True:
            while ready and not state.failed:
                self._begin(ready.pop(0))
            if not state.running and (state.failed or (not self._pending and not self._waiting)):
                return
            if deadline is not None and self._waiting and time.monotonic() >= deadline and not state.failed:
                state.failed.append(self._too_late())
                continue
            before = len(state.done)
            finished = self._take(deadline)
            if finished is not None and len(state.done) > before:
                ready += self._released(finished)

    def _enter(self, wanted: list[Step]) -> list[Step]:
        """Counts what each step still comes after; those that come after nothing."""
        names = {step.id for step in wanted}
        self._pending, self._dependents = {}, {}
        ready = []
        for step in wanted:
            left = {id for id in step.after if id in names and id not in self._state.done}
            if not left:
                ready.append(step)
                continue
            self._pending[step.id] = step, left
            for id in left:
                self._dependents.setdefault(id, []).append(step.id)
        return ready

    def _released(self, finished: str) -> list[Step]:
        """The steps that waited for this one last."""
        ready = []
        for id in self._dependents.pop(finished, ()):
            step, left = self._pending[id]
            left.discard(finished)
            if not left:
                del self._pending[id]
                ready.append(step)
        return ready

    def _too_late(self) -> TimedOut:
        names = sorted(name for waiting in self._waiting.values() for name in waiting.left.values())
        return TimedOut(f"application not healthy: still waiting for {', '.join(names)}")

    def _take(self, deadline: float | None) -> str | None:
        """Takes one message in; the id of the step that it is about."""
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            kind, what, result = self._queue.get(timeout=wait)
        except Empty:
            return None
        if kind == "event":
            self._look_again(what)
            return None
        self._state.running -= 1
        if isinstance(result, BaseException):
            self._waiting.pop(what.id, None)
            if what.action == "wait" and isinstance(result, Failed):
                self._failed_wait(what, result)
            else:
                self._report(what.subject, f"Error {result}" if what.action != "wait" else "Error")
                self._state.failed.append(result)
        elif kind == "looked":
            self._looked(what, result)
        else:
            self._state.done.add(what.id)
        return str(what.id)

    # -- steps

    def _begin(self, step: Step) -> None:
        if step.action == "wait":
            ids = {self.context.id_of(name): name for name in step.data["names"]}
            self._waiting[step.id] = _Waiting(step, ids)
            for name in ids.values():
                self._report(f"Container {name}", "Waiting")
            self._look(step, list(ids))
            return
        self._submit("done", step, lambda: ACTIONS[step.action](self.context, step))

    def _submit(self, kind: str, step: Step, work: Callable[[], Any]) -> None:
        def job() -> None:
            result: Any
            try:
                result = work()
            except BaseException as error:
                result = error
            self._queue.put((kind, step, result))

        self._state.running += 1
        self._jobs.put(job)
        if len(self._threads) < min(self._workers, self._state.running):
            thread = threading.Thread(target=self._work, name="compose-worker", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    # -- waits

    def _heard(self, event: dict[str, Any]) -> None:
        action = str(event.get("Action", ""))
        if action.startswith("health_status") or action in ("die", "start", "stream-end"):
            self._queue.put(("event", (event.get("Actor") or {}).get("ID", ""), None))

    def _look_again(self, container: str) -> None:
        for waiting in list(self._waiting.values()):
            if container in waiting.left or not container:
                self._look(waiting.step, [container] if container else list(waiting.left))

    def _look(self, step: Step, ids: list[str]) -> None:
        condition, service = step.data["condition"], step.data["service"]

        def look() -> list[str]:
            client = self._engine.client
            return [id for id in ids if state_of(condition, service, client.get(f"/containers/{id}/json")) == MET]

        self._submit("looked", step, look)

    def _looked(self, step: Step, met: list[str]) -> None:
        waiting = self._waiting.get(step.id)
        if waiting is None:
            return
        for id in met:
            name = waiting.left.pop(id, None)
            if name is not None:
                done = "Exited" if step.data["condition"] == "service_completed_successfully" else "Healthy"
                self._report(f"Container {name}", done)
        if not waiting.left:
            del self._waiting[step.id]
            self._state.done.add(step.id)

    def _failed_wait(self, step: Step, error: Failed) -> None:
        text, service = str(error), step.data["service"]
        if not step.data["required"]:
            self._report(step.subject, f'Skipped: optional dependency "{service}" failed: {text}')
            self.context.warnings.append(f'optional dependency "{service}" failed to start: {text}')
            self._state.done.add(step.id)
            return
        self._report(step.subject, "Error")
        prefix = "dependency failed to start: " if step.data["condition"] == "service_healthy" else ""
        self._state.failed.append(WharfError(prefix + text))


def apply_plan(
    engine: Engine, project: Project, observed: Observed, plan: Plan, report: Report, timeout: float | None = None
) -> Applier:
    """Does a whole plan; raises what fails first."""
    applier = Applier(engine, project, observed, report)
    applier.run(plan.steps, timeout)
    return applier
