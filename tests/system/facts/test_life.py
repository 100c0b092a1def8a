"""A container's states, times, names and policies, and the statuses of requests that do not fit them."""

import time

import pytest

from tests.system.facts.conftest import Engine, V

OBEDIENT = ("sh", "-c", 'trap "exit 3" TERM; echo up; while :; do sleep 0.02; done')
NEVER = "0001-01-01T00:00:00Z"


def obedient(engine: Engine, name: str = "life") -> str:
    """A container that ends with 3 when asked to, and is ready to be asked."""
    made = engine.start(name, *OBEDIENT)
    engine.until_said(name, "up")
    return made


def test_times_and_pid_of_a_life(engine: Engine) -> None:
    engine.create("life", *OBEDIENT)
    state = engine.state("life")
    assert (state["Status"], state["StartedAt"], state["FinishedAt"], state["Pid"]) == ("created", NEVER, NEVER, 0)
    engine.post("/containers/life/start")
    engine.until_said("life", "up")
    first = engine.state("life")
    assert first["Running"] and first["Pid"] > 1 and first["FinishedAt"] == NEVER and first["StartedAt"].endswith("Z")
    engine.post("/containers/life/stop")
    ended = engine.state("life")
    assert (ended["Status"], ended["ExitCode"], ended["Pid"]) == ("exited", 3, 0)
    assert ended["FinishedAt"] > ended["StartedAt"] == first["StartedAt"]
    engine.post("/containers/life/start")
    again = engine.state("life")
    assert again["FinishedAt"] == ended["FinishedAt"] and again["StartedAt"] > first["StartedAt"], "not cleared"


def test_statuses_of_requests_that_do_not_fit(engine: Engine) -> None:
    made = engine.create("life", *OBEDIENT)

    def asked(path: str, status: int, words: str = "", body: object = None) -> None:
        answer = engine.post(path, body)
        assert (answer.status, answer.message) == (status, words), path

    not_running = f"container {made} is not running"
    asked("/containers/life/kill", 409, f"cannot kill container: life: {not_running}")
    asked("/containers/life/pause", 409, not_running)
    asked("/containers/life/exec", 409, not_running, {"Cmd": ["true"]})
    asked("/containers/life/stop", 304)
    asked("/containers/life/start", 204)
    asked("/containers/life/start", 304)
    asked("/containers/life/kill?signal=NOSUCH", 400, "cannot kill container: life: invalid signal: NOSUCH")
    asked("/containers/life/stop?signal=NOSUCH", 500, "cannot stop container: life: invalid signal: NOSUCH")
    asked("/containers/life/pause", 204)
    asked("/containers/life/pause", 409, f"Container {made} is already paused")
    asked("/containers/life/start", 409, "cannot start a paused container, try unpause instead")
    asked("/containers/life/exec", 409, "Container life is paused, unpause the container before exec", {"Cmd": ["x"]})
    removed = engine.api.ask("DELETE", f"{V}/containers/life")
    words = 'cannot remove container "life": container is paused and must be unpaused first'
    assert (removed.status, removed.message) == (409, words)
    asked("/containers/life/unpause", 204)
    asked("/containers/life/unpause", 500, f"Container {made} is not paused")
    removed = engine.api.ask("DELETE", f"{V}/containers/life")
    words = 'cannot remove container "life": container is running: stop the container before removing or force remove'
    assert (removed.status, removed.message) == (409, words)
    asked("/containers/life/kill", 204)
    assert engine.state("life")["Status"] == "exited", "SIGKILL is answered when it has ended"


def test_a_signal_that_stops_wakes_what_is_paused(engine: Engine) -> None:
    obedient(engine)
    engine.post("/containers/life/pause")
    assert engine.post("/containers/life/kill?signal=TERM").status == 204
    assert engine.post("/containers/life/wait").json()["StatusCode"] == 3


@pytest.mark.parametrize("text", ["15", "TERM", "SIGTERM", "sigterm"])
def test_signals_by_number_and_name(engine: Engine, text: str) -> None:
    obedient(engine)
    assert engine.post(f"/containers/life/kill?signal={text}").status == 204
    assert engine.post("/containers/life/wait").json()["StatusCode"] == 3


def test_a_negative_time_to_stop_has_no_end(engine: Engine) -> None:
    script = 'trap "sleep 1; exit 4" TERM; echo up; while :; do sleep 0.02; done'
    engine.start("life", "sh", "-c", script, StopTimeout=0)
    engine.until_said("life", "up")
    assert engine.post("/containers/life/stop?t=-1").status == 204
    assert engine.state("life")["ExitCode"] == 4


def test_the_containers_own_stop_signal_and_time(engine: Engine) -> None:
    script = 'trap "exit 5" USR1; trap "" TERM; echo up; while :; do sleep 0.02; done'
    engine.start("life", "sh", "-c", script, StopSignal="SIGUSR1", StopTimeout=20)
    engine.until_said("life", "up")
    begun = time.time()
    engine.post("/containers/life/stop")
    assert engine.state("life")["ExitCode"] == 5
    assert [item["Actor"]["Attributes"]["signal"] for item in engine.events(begun, time.time(), event=["kill"])] == [
        "10"
    ]
    engine.start("deaf", "sh", "-c", script, StopTimeout=0)
    engine.until_said("deaf", "up")
    engine.post("/containers/deaf/stop")
    assert engine.state("deaf")["ExitCode"] == 137


def actions(engine: Engine, since: float) -> list[str]:
    """Of containers, with the signal or code that they tell."""
    found = []
    for event in engine.events(since, time.time(), type=["container"]):
        told = event["Actor"]["Attributes"]
        found.append(" ".join([event["Action"], *(told[key] for key in ("signal", "exitCode") if key in told)]))
    return found


def test_events_of_stop_and_restart(engine: Engine) -> None:
    obedient(engine)
    begun = time.time()
    engine.post("/containers/life/restart?t=20")
    assert actions(engine, begun) == ["kill 15", "die 3", "stop", "start", "restart"]
    begun = time.time()
    engine.post("/containers/life/stop?t=0")
    assert actions(engine, begun) == ["kill 15", "kill 9", "die 137", "stop"]
    begun = time.time()
    engine.post("/containers/life/restart?t=0")
    assert actions(engine, begun) == ["start", "restart"], "what is stopped just starts"


def test_while_it_waits_to_be_started_again(engine: Engine) -> None:
    made = engine.start("loop", "false", host={"RestartPolicy": {"Name": "always"}})
    state = engine.until("loop", Status="restarting")
    assert (state["Running"], state["Restarting"], state["Pid"], state["ExitCode"]) == (True, True, 0, 1)
    listed = engine.get("/containers/json").json()
    assert [(item["Id"], item["State"]) for item in listed] == [(made, "restarting")]
    assert listed[0]["Status"].startswith("Restarting (1) ")
    answer = engine.post("/containers/loop/exec", {"Cmd": ["true"]})
    words = f"Container {made} is restarting, wait until the container is running"
    assert (answer.status, answer.message) == (409, words)
    assert engine.post("/containers/loop/stop?t=0").status == 204
    assert engine.state("loop")["Status"] == "exited"


def test_a_start_by_hand_counts_anew(engine: Engine) -> None:
    engine.start("loop", "sh", "-c", "exit 4", host={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}})
    engine.until("loop", Status="exited", RestartCount=1)
    assert engine.inspect("loop")["RestartCount"] == 1
    with engine.open("POST", f"{V}/containers/loop/start"):
        deadline = time.monotonic() + 30
        while engine.inspect("loop")["RestartCount"] != 0:
            assert time.monotonic() < deadline
    engine.until("loop", Status="exited", RestartCount=1)


POLICY = "invalid restart policy: "


@pytest.mark.parametrize(
    ("host", "status", "words"),
    [
        (
            {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}},
            400,
            POLICY + "maximum retry count can only be used with 'on-failure'",
        ),
        (
            {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -1}},
            400,
            POLICY + "maximum retry count cannot be negative",
        ),
        (
            {"RestartPolicy": {"Name": "bogus"}},
            400,
            POLICY + "unknown policy 'bogus'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ),
        (
            {"AutoRemove": True, "RestartPolicy": {"Name": "always"}},
            400,
            "can't create 'AutoRemove' container with restart policy",
        ),
        ({"CapAdd": ["bogus"]}, 400, 'invalid CapAdd: unknown capability: "CAP_BOGUS"'),
        ({"CapDrop": ["CAP_BOGUS"]}, 400, 'invalid CapDrop: unknown capability: "CAP_BOGUS"'),
        ({"SecurityOpt": ["bogus"]}, 500, 'invalid --security-opt 1: "bogus"'),
        ({"SecurityOpt": ["bogus=1"]}, 500, 'invalid --security-opt 2: "bogus=1"'),
        ({"Memory": 6 * 1024 * 1024 - 1}, 400, "Minimum memory limit allowed is 6MB"),
    ],
)
def test_refused_at_create(engine: Engine, host: dict[str, object], status: int, words: str) -> None:
    answer = engine.api.create({"Cmd": ["true"], "HostConfig": host}, "refused")
    assert answer.status == status and words in answer.message


def test_names_and_ids(engine: Engine) -> None:
    made = engine.create("web", "true")
    assert engine.inspect("web")["Config"]["Hostname"] == made[:12]
    taken = engine.api.create({"Cmd": ["true"]}, "web")
    words = (
        f'Conflict. The container name "/web" is already in use by container "{made}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert (taken.status, taken.message) == (409, words)
    missing = engine.get("/containers/nosuch/json")
    assert (missing.status, missing.message) == (404, "No such container: nosuch")
    refused = engine.api.create({"Cmd": ["true"]}, "x")
    assert refused.message == "Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    nothing = engine.api.create({"Cmd": [], "Entrypoint": [""]}, "none")
    assert (nothing.status, nothing.message) == (400, "no command specified")


def test_a_prefix_of_several_ids(engine: Engine) -> None:
    firsts: set[str] = set()
    for number in range(17):  # two of them begin alike
        first = engine.create(f"many{number}", "true")[0]
        if first in firsts:
            break
        firsts.add(first)
    answer = engine.get(f"/containers/{first}/json")
    assert (answer.status, answer.message) == (400, f"multiple IDs found with provided prefix: {first}")
    made = engine.inspect("many0")["Id"]
    assert engine.inspect(made[:20])["Id"] == made


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ('{"x":["y"]}', "invalid filter 'x'"),
        ('{"until":["1h","2h"]}', "more than one until filter specified"),
        ('{"until":["x"]}', 'failed to parse value as time or duration: "x"'),
    ],
)
def test_filters_of_prune(engine: Engine, filters: str, words: str) -> None:
    engine.create("kept", "true")
    answer = engine.post(f"/containers/prune?filters={filters}")
    assert (answer.status, answer.message) == (400, words)
    assert engine.state("kept")["Status"] == "created"


def test_prune_by_label(engine: Engine) -> None:
    for name, labels in (("one", {"a": "1"}), ("two", {"a": "2"}), ("three", {})):
        engine.create(name, "true", Labels=labels)
    assert engine.post('/containers/prune?filters={"until":["24h"]}').json()["ContainersDeleted"] is None
    first = engine.inspect("two")["Id"]
    assert engine.post('/containers/prune?filters={"label":["a=2"]}').json()["ContainersDeleted"] == [first]
    second = engine.inspect("three")["Id"]
    assert engine.post('/containers/prune?filters={"label!":{"a":true}}').json()["ContainersDeleted"] == [second]
    assert len(engine.post("/containers/prune").json()["ContainersDeleted"]) == 1
