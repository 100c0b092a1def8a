"""`wharf compose up` in the foreground: the containers' output, their ends, Ctrl+C."""

from __future__ import annotations

import signal
import sys
import threading
from queue import SimpleQueue

from wharf.cli.compose_logs import Lines, LogPrinter, copy_log, printer_of, short_name
from wharf.cli.session import ExitWith
from wharf.client.api import query
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wharf.cli.compose import Compose
    from wharf.compose.inotify import Inotify
    from wharf.compose.run_project import Prepared

_STARTING = ("container-start", "running", "wait")


def run_attached(compose: Compose, prepared: Prepared, flags: dict[str, Any], names: list[str]) -> int:
    """Makes, attaches, starts, shows; the status of the container that was asked for, or of the first that fails."""
    prepared.run_others(_STARTING)
    return _Attached(compose, prepared, flags, names).run()


class _Attached:
    def __init__(self, compose: Compose, prepared: Prepared, flags: dict[str, Any], names: list[str]) -> None:
        self._compose = compose
        self._prepared = prepared
        self._flags = flags
        self._printer: LogPrinter = printer_of(flags, bool(flags.get("timestamps")))
        self._queue: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._services = self._attached_services(names)
        self._watched = set(names) or set(prepared.project.services)
        self._alive: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._attached: set[str] = set()
        self._followed: list[threading.Thread] = []
        self._status = 0
        self._asked = 0
        self._stopping = False
        self._aborted = False
        self._inotify: Inotify | None = None

    def _watch(self) -> None:
        """`--watch`: changed files are followed beside the output."""
        if not self._flags.get("watch"):
            return
        from wharf.cli.compose_watch import active_rules, follow
        from wharf.compose.inotify import Inotify
        from wharf.compose.watch import Watch

        project = self._prepared.project
        rules = active_rules(self._compose, project)
        self._inotify = inotify = Inotify()
        lines = self._printer.lines

        def say(text: str) -> None:
            lines("⦿", text)

        around = self._compose.around(quiet_build=bool(self._flags.get("quiet-build")))
        worker = Watch(project, around, say)
        threading.Thread(target=lambda: follow(self._compose, worker, rules, inotify, say), daemon=True).start()

    def _attached_services(self, names: list[str]) -> set[str]:
        project = self._prepared.project
        given = self._flags.get("attach")
        if given:
            unknown = sorted(set(given) - set(project.services))
            if unknown:
                raise ExitWith(f"cannot attach to services not included in up: {', '.join(unknown)}")
            return set(given)
        chosen = set(names) if names and not self._flags.get("attach-dependencies") else set(project.services)
        quiet = {name for name, item in project.services.items() if item.get("attach") is False}
        return chosen - quiet - set(self._flags.get("no-attach", ()))

    def run(self) -> int:
        from wharf.compose import labels
        from wharf.compose.engine import Events
        from wharf.compose.observed import project_containers

        engine = self._compose.engine()
        name = self._prepared.project.name
        events = Events(engine, labels.filters(name), lambda event: self._queue.put(("event", event)))
        before = signal.signal(signal.SIGINT, self._on_signal), signal.signal(signal.SIGTERM, self._on_signal)
        try:
            for container in project_containers(engine.client, name, f"{labels.ONE_OFF}=False"):
                if labels.service_of(container) in self._watched:
                    self._alive[container["Id"]] = labels.service_of(container)
                    self._names[container["Id"]] = short_name(container)
                    self._attach(container)
            self._say_to_whom()
            starter = threading.Thread(target=self._start, daemon=True)
            starter.start()
            self._watch()
            self._loop()
            starter.join()
        finally:
            signal.signal(signal.SIGINT, before[0])
            signal.signal(signal.SIGTERM, before[1])
            events.close()
            if self._inotify is not None:
                self._inotify.stop()
        for thread in self._followed:
            thread.join(2)
        return self._status

    def _say_to_whom(self) -> None:
        names = sorted(self._names[id] for id, service in self._alive.items() if service in self._services)
        if names:
            sys.stdout.write(f"Attaching to {', '.join(names)}\n")
            sys.stdout.flush()

    def _on_signal(self, number: int, frame: object) -> None:
        self._queue.put(("signal", number))

    def _attach(self, container: dict[str, Any]) -> None:
        """The output from the first byte on: the stream is there before the container starts."""
        from wharf.compose import labels

        if labels.service_of(container) not in self._services:
            return
        id, client = container["Id"], self._compose.engine().client
        tty = client.get(f"/containers/{id}/json")["Config"]["Tty"]
        self._printer.register(self._names[id])
        lines = Lines(self._printer, self._names[id], tty)
        if container.get("State") == "running":
            self._spawn(lambda: copy_log(self._compose.engine().client, id, lines, {"follow": True}))
            return
        parameters = {"stream": True, "stdout": True, "stderr": True}
        connection, _ = client.hijack(f"/containers/{id}/attach" + query(parameters))
        self._attached.add(id)

        def read() -> None:
            while data := connection.receive():
                lines.feed(data)
            lines.close()
            connection.close()

        self._spawn(read)

    def _spawn(self, work: Any) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._followed.append(thread)
        thread.start()

    def _start(self) -> None:
        try:
            self._prepared.run(_STARTING)
        except Exception as error:
            self._queue.put(("failed", error))
        else:
            self._queue.put(("started", None))

    # -- what happens

    def _loop(self) -> None:
        started = False
        failure: Exception | None = None
        while not started or self._alive:
            kind, what = self._queue.get()
            if kind == "started":
                started = True
                self._forget_ended()
            elif kind == "failed":
                if not self._stopping:
                    failure = what
                    break
                started = True
            elif kind == "signal":
                self._interrupted()
            elif what.get("Action") == "stream-end":
                break
            else:
                self._event(what)
        if failure is not None:
            raise failure

    def _forget_ended(self) -> None:
        """What ended before anybody listened, or never was to start, is not waited for."""
        from wharf.compose.observed import project_containers

        found = project_containers(self._compose.engine().client, self._prepared.project.name)
        running = {item["Id"] for item in found if item.get("State") in ("running", "restarting", "paused")}
        for id in list(self._alive):
            if id not in running and id not in self._attached:
                del self._alive[id]

    def _event(self, event: dict[str, Any]) -> None:
        actor = event.get("Actor") or {}
        id, attributes = actor.get("ID", ""), actor.get("Attributes") or {}
        from wharf.compose import labels

        service, action = attributes.get(labels.SERVICE, ""), event.get("Action")
        if service not in self._watched or attributes.get(labels.ONE_OFF) == "True":
            return
        if action == "start" and id not in self._alive:
            self._alive[id] = service
            container = {
                "Id": id,
                "Names": ["/" + attributes.get("name", "")],
                "Labels": attributes,
                "State": "running",
            }
            self._names[id] = short_name(container)
            self._attach(container)
        elif action == "die":
            self._ended(id, service, int(attributes.get("exitCode") or 0))

    def _ended(self, id: str, service: str, code: int) -> None:
        name = self._names.get(id, service)
        if self._restarts(id):
            self._printer.status(name, f"exited with code {code} (restarting)")
            self._alive.pop(id, None)
            self._alive[id] = service
            return
        self._printer.status(name, f"exited with code {code}")
        self._alive.pop(id, None)
        if self._flags.get("exit-code-from") == service and not self._asked:
            self._status, self._asked = code, 1
        stop = self._flags.get("abort-on-container-exit")
        fail = self._flags.get("abort-on-container-failure") and code
        if (stop or fail) and not self._aborted:
            self._aborted = True
            if not self._asked and not self._flags.get("exit-code-from"):
                self._status = code
            sys.stderr.write("Aborting on container exit...\n")
            self._stop_all()

    def _restarts(self, id: str) -> bool:
        try:
            state = self._compose.engine().client.get(f"/containers/{id}/json")["State"]
        except ApiError:
            return False
        return bool(state.get("Restarting") or state.get("Running"))

    def _interrupted(self) -> None:
        if not self._stopping:
            sys.stdout.write("Gracefully Stopping... press Ctrl+C again to force\n")
            sys.stdout.flush()
            self._status = 130
            self._stop_all()
            return
        for id in list(self._alive):
            try:
                self._compose.engine().client.post(f"/containers/{id}/kill")
            except ApiError as error:
                if error.status not in (404, 409):
                    raise

    def _stop_all(self) -> None:
        from wharf.cli.compose_down import _stop

        self._stopping = True
        names = sorted(self._prepared.project.services)
        timeout = self._flags.get("timeout")
        threading.Thread(target=lambda: _stop(self._compose, names, timeout), daemon=True).start()
