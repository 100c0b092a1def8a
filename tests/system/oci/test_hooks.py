"""Hooks: the order of the six points, their namespaces, the state they get, timeouts, and what a failure does."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.oci.lab import Config, Edit, OciLab

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
HERE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")


def _hook(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin", "A=b"], **more}


def _hooks(**points: list[dict[str, Any]]) -> Edit:
    def edit(config: Config) -> None:
        config["hooks"] = points

    return edit


def _recorder(folder: Path) -> Edit:
    """Each hook writes its state and its pid namespace; startContainer's lands on a bind of the same folder."""

    def edit(config: Config) -> None:
        config["mounts"].append(
            {"destination": "/out", "type": "bind", "source": str(folder), "options": ["bind", "rw"]}
        )
        config["hooks"] = {}
        for point in POINTS:
            place = "/out" if point == "startContainer" else str(folder)
            script = (
                f"cat > {place}/{point}.state; readlink /proc/self/ns/mnt > {place}/{point}.mnt; "
                f"readlink /proc/self/ns/uts > {place}/{point}.uts; env > {place}/{point}.env; "
                f"echo {point} >> {place}/order"
            )
            config["hooks"][point] = [_hook(script), _hook(f"echo {point}-2 >> {place}/order")]

    return edit


@pytest.fixture(scope="module")
def recorded(oci: OciLab) -> Path:
    folder = oci.directory / "recorded"
    folder.mkdir()
    name = oci.name()
    script = "echo program >> /out/order; readlink /proc/self/ns/mnt > /out/program.mnt; exec sleep 300"
    bundle = oci.bundle(_recorder(folder), script=script)
    config = json.loads((bundle / "config.json").read_text())
    config["annotations"] = {"org.example.key": "value"}
    (bundle / "config.json").write_text(json.dumps(config))
    oci.ok("create", "-b", str(bundle), name)
    (folder / "created").write_text((folder / "order").read_text())
    (folder / "pid").write_text(str(oci.state(name)["pid"]))
    oci.ok("start", name)
    deadline = time.monotonic() + 30
    while not ((folder / "program.mnt").exists() and (folder / "program.mnt").read_text()):
        assert time.monotonic() < deadline, "the program has not written what it should"
        time.sleep(0.01)
    oci.ok("kill", name, "KILL")
    oci.ended(name)
    oci.ok("delete", name)
    (folder / "id").write_text(name)
    (folder / "bundle").write_text(str(bundle))
    return folder


def test_they_run_in_the_order_of_the_points_and_of_the_list(recorded: Path) -> None:
    before = ["prestart", "prestart-2", "createRuntime", "createRuntime-2", "createContainer", "createContainer-2"]
    assert (recorded / "created").read_text().split() == before
    order = (recorded / "order").read_text().split()
    assert order[: len(before) + 2] == [*before, "startContainer", "startContainer-2"]
    assert order[-2:] == ["poststop", "poststop-2"]
    assert sorted(order[8:-2]) == ["poststart", "poststart-2", "program"]


@pytest.mark.parametrize(
    ("point", "status"),
    [
        ("prestart", "creating"), ("createRuntime", "creating"), ("createContainer", "creating"),
        ("startContainer", "created"), ("poststart", "running"), ("poststop", "stopped"),
    ],
)  # fmt: skip
def test_each_gets_the_state_on_its_standard_input(recorded: Path, point: str, status: str) -> None:
    state = json.loads((recorded / f"{point}.state").read_text())
    assert state["status"] == status
    assert state["id"] == (recorded / "id").read_text()
    assert state["bundle"] == (recorded / "bundle").read_text()
    assert state["annotations"] == {"org.example.key": "value"}
    assert state["ociVersion"].startswith("1.")
    if point == "startContainer":
        assert state["pid"] == 1  # as it is seen where the hook runs
    elif point != "poststop":
        assert state["pid"] == int((recorded / "pid").read_text())


@pytest.mark.parametrize("point", POINTS)
def test_each_runs_in_its_namespaces(recorded: Path, point: str) -> None:
    own = Path("/proc/self/ns/mnt").readlink()
    found = (recorded / f"{point}.mnt").read_text().strip()
    inside = (recorded / "program.mnt").read_text().strip()
    if point in ("createContainer", "startContainer"):
        assert found == inside
    else:
        assert found == str(own) != inside


@pytest.mark.parametrize("point", POINTS)
def test_each_has_the_environment_it_was_given_and_no_other(recorded: Path, point: str) -> None:
    names = {line.partition("=")[0] for line in (recorded / f"{point}.env").read_text().splitlines()}
    assert {"PATH", "A"} <= names
    assert names <= {"PATH", "A", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.mark.parametrize("point", ["prestart", "createRuntime", "createContainer"])
def test_a_failure_before_the_pivot_ends_the_creation_and_runs_poststop(oci: OciLab, point: str) -> None:
    mark = oci.directory / f"mark-{point}"
    failing = [_hook("echo no luck >&2; exit 3"), _hook(f"touch {mark}.second")]
    error = oci.refused(_hooks(**{point: failing, "poststop": [_hook(f"touch {mark}.poststop")]}))
    assert f"error running {point} hook #0: exit status 3" in error
    assert "no luck" in error
    assert not Path(f"{mark}.second").exists()
    assert Path(f"{mark}.poststop").exists()


def test_a_failing_startcontainer_ends_the_start_before_the_program(oci: OciLab) -> None:
    mark = oci.directory / "mark-start"
    mark.mkdir()

    def edit(config: Config) -> None:
        config["mounts"].append({"destination": "/out", "source": str(mark), "options": ["bind"]})
        config["hooks"] = {"startContainer": [_hook("exit 4")]}

    name = oci.created("touch /out/ran", edit)
    assert "error running startContainer hook #0: exit status 4" in oci.fails("start", name)
    assert oci.state(name)["status"] == "stopped"
    assert not (mark / "ran").exists()
    oci.ok("delete", name)


def test_a_failing_poststart_stops_the_container(oci: OciLab) -> None:
    name = oci.created("exec sleep 300", _hooks(poststart=[_hook("exit 5")]))
    assert "error running poststart hook #0: exit status 5" in oci.fails("start", name)
    assert oci.state(name)["status"] == "stopped"
    oci.ok("delete", name)


def test_a_failing_poststop_is_told_and_the_others_still_run(oci: OciLab) -> None:
    mark = oci.directory / "mark-stop"
    name = oci.created("true", _hooks(poststop=[_hook("exit 6"), _hook(f"touch {mark}")]))
    log = oci.directory / "poststop.log"
    oci.ok("delete", name, log=log)
    line = json.loads(log.read_text().splitlines()[0])
    assert (line["level"], line["msg"]) == (
        "warning",
        "error running poststop hook #0: exit status 6, stdout: , stderr:",
    )
    assert mark.exists()
    assert "does not exist" in oci.fails("state", name)


def test_a_hook_that_exceeds_its_timeout_is_killed_and_has_failed(oci: OciLab) -> None:
    slow = _hook("echo $$ > /proc/self/comm; exec sleep 300", timeout=1)
    error = oci.refused(_hooks(createRuntime=[slow]))
    assert "hook ran past specified timeout of 1.0s" in error


def test_a_hook_that_is_not_there_is_named(oci: OciLab) -> None:
    error = oci.refused(_hooks(prestart=[{"path": "/no/such/hook"}]))
    assert "fork/exec /no/such/hook: no such file or directory" in error


@pytest.mark.parametrize(
    ("hook", "text"),
    [({"path": "relative"}, "is not absolute"), ({"path": "/bin/true", "timeout": 0}, "must be greater than zero")],
)
def test_a_hook_that_makes_no_sense_is_refused(oci: OciLab, hook: dict[str, Any], text: str) -> None:
    assert text in oci.refused(_hooks(poststop=[hook]))


def test_a_hook_may_ask_for_the_state_meanwhile(oci: OciLab) -> None:
    """No lock keeps it waiting: it sees a container that is being created."""
    from tests.system.oci.lab import COMMAND

    out = oci.directory / "asked"
    name = oci.name()
    ask = _hook(f"{COMMAND} --root {oci.root} state {name} > {out}")
    oci.ok("create", "-b", str(oci.bundle(_hooks(createRuntime=[ask]), script="true")), name)
    assert json.loads(out.read_text())["status"] == "creating"
    oci.ok("delete", name)
