"""The life of a container as a table: which request is allowed in which state, and Docker's words where it is not.

created --start--> running --pause--> paused --unpause--> running
running --exit--> exited --start--> running      running --exit, policy--> restarting --backoff--> running
created, exited, dead --remove--> removing --> gone (or dead when removal failed)
"""

from enum import Enum

from wharf.errors import Conflict, Internal, NotModified, WharfError


class State(Enum):
    """Docker's status words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Verb(Enum):
    """What can be asked of a container."""

    START = "start"
    STOP = "stop"
    KILL = "kill"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    EXEC = "exec"
    REMOVE = "remove"
    ATTACH = "attach"
    RESIZE = "resize"
    TOP = "top"


_NOT_RUNNING = (Conflict, "container {id} is not running")
_NOT_PAUSED = (Internal, "Container {id} is not paused")
_CANNOT_KILL = (Conflict, "cannot kill container: {given}: container {id} is not running")
_MARKED = (Conflict, "container is marked for removal and cannot be started")
_RESTARTING = (Conflict, "Container {id} is restarting, wait until the container is running")
_NOTHING_TO_DO = (NotModified, "")
_RUNS = (
    Conflict,
    'cannot remove container "{given}": container is running: stop the container before removing or force remove',
)
_RESTARTING_REMOVE = (
    Conflict,
    'cannot remove container "{given}": container is restarting: stop the container before removing or force remove',
)
_PAUSED_REMOVE = (Conflict, 'cannot remove container "{given}": container is paused and must be unpaused first')
_IN_PROGRESS = (Conflict, "removal of container {given} is already in progress")

_AT_REST = (State.CREATED, State.EXITED, State.DEAD, State.REMOVING)

_REFUSALS: dict[Verb, dict[State, tuple[type[WharfError], str]]] = {
    Verb.START: {
        State.RUNNING: _NOTHING_TO_DO,
        State.RESTARTING: _NOTHING_TO_DO,
        State.PAUSED: (Conflict, "cannot start a paused container, try unpause instead"),
        State.REMOVING: _MARKED,
        State.DEAD: _MARKED,
    },
    Verb.STOP: dict.fromkeys(_AT_REST, _NOTHING_TO_DO),
    Verb.KILL: dict.fromkeys(_AT_REST, _CANNOT_KILL),
    Verb.PAUSE: {
        State.PAUSED: (Conflict, "Container {id} is already paused"),
        State.RESTARTING: _RESTARTING,
        **dict.fromkeys(_AT_REST, _NOT_RUNNING),
    },
    Verb.UNPAUSE: dict.fromkeys((*_AT_REST, State.RUNNING, State.RESTARTING), _NOT_PAUSED),
    Verb.EXEC: {
        State.PAUSED: (Conflict, "Container {given} is paused, unpause the container before exec"),
        State.RESTARTING: _RESTARTING,
        **dict.fromkeys(_AT_REST, _NOT_RUNNING),
    },
    Verb.REMOVE: {
        State.RUNNING: _RUNS,
        State.RESTARTING: _RESTARTING_REMOVE,
        State.PAUSED: _PAUSED_REMOVE,
        State.REMOVING: _IN_PROGRESS,
    },
    Verb.ATTACH: {
        State.PAUSED: (Conflict, "container {given} is paused, unpause the container before attach"),
        State.RESTARTING: (Conflict, "container {given} is restarting, wait until the container is running"),
    },
    Verb.RESIZE: dict.fromkeys(_AT_REST, _NOT_RUNNING),
    Verb.TOP: {State.RESTARTING: _RESTARTING, **dict.fromkeys(_AT_REST, _NOT_RUNNING)},
}


def refusal(verb: Verb, state: State, container_id: str, given: str) -> WharfError | None:
    """The error Docker gives for `verb` in `state`, or None when it is allowed. `given` is the name as it was given."""
    found = _REFUSALS[verb].get(state)
    if found is None:
        return None
    kind, text = found
    return kind(text.format(id=container_id, given=given))


def require(verb: Verb, state: State, container_id: str, given: str) -> None:
    """Raise the refusal, if there is one."""
    error = refusal(verb, state, container_id, given)
    if error is not None:
        raise error
