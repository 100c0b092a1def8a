"""Wait for the end, or the removal, of a container: a future, no thread."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, cast

from wharf.engine.container import Condition, WaitResult
from wharf.engine.loop import done
from wharf.errors import Invalid

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

CONDITIONS = ("", "not-running", "next-exit", "removed")


def wait_container(engine: Engine, name: str, condition: str = "") -> Future[WaitResult]:
    """Resolves at once when the condition holds already. Raises NotFound, Invalid."""
    if condition not in CONDITIONS:
        raise Invalid(f'invalid condition: "{condition[:100]}"')
    container = engine.containers.live(name)
    with container.lock:
        engine.containers.live(container.id)  # gone while we waited for the lock: nobody is woken any more
        state = container.record.state
        if condition in ("", "not-running") and not (state.running and not state.restarting):
            return done(WaitResult(state.exit_code))
        # Who gave up is dropped here: one that asks again and again with a time-out would make the list grow.
        container.waiting = [item for item in container.waiting if not item[1].cancelled()]
        future: Future[WaitResult] = Future()
        container.waiting.append((cast(Condition, condition or "not-running"), future))
        return future
