"""docs/flow-compose.md: its example runs; and what facts.tsv has no row for: builds, providers, hooks, failures."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.tools import Place
from tests.support.wharfd import ROOT, Wharfd

RUN = "init: true, stop_grace_period: 0s, command: sleep 1000"


@pytest.fixture
def place(daemon: Wharfd, tmp_path: Path) -> Iterator[Place]:
    made = Place(daemon, tmp_path)
    yield made
    made.compose("down", "-v", "-t", "0", "--remove-orphans")


def test_the_example_of_the_page_runs(place: Place) -> None:
    page = (ROOT / "docs/flow-compose.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example
    place.write("services: {web: {image: 'busybox', command: sleep 100, init: true, environment: {TAG: $TAG}}}\n")
    out = subprocess.run([sys.executable, "-c", example[1]], cwd=place.path, env=place.environment, text=True,
                         capture_output=True, check=False)  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("['web'] {'TAG': '1'}\n") and out.stdout.rstrip().endswith("running")


NAMED = """
services:
  base:
    build: {context: ., dockerfile_inline: "FROM busybox\\nRUN echo from the base > /base\\n"}
  web:
    build:
      context: .
      additional_contexts: {first: "service:base", side: ./side, box: "docker-image://busybox"}
      dockerfile_inline: |
        FROM first
        COPY --from=side file /file
        COPY --from=box /bin/busybox /copied
    command: sleep 100
    init: true
"""


@pytest.mark.parametrize("words", [("up", "-d", "web"), ("build", "web")])
def test_contexts_beside_the_main_one(place: Place, words: tuple[str, ...]) -> None:
    """A service whose image is one is built first, though nothing starts it."""
    place.write(NAMED)
    place.write("beside\n", "side/file")
    place.compose(*words)
    place.compose("up", "-d", "web")
    assert place.compose("exec", "-T", "web", "cat", "/base", "/file").stdout == "from the base\nbeside\n"
    assert place.compose("ps", "-a", "--services").stdout == "web\n"


def test_a_service_is_built_and_built_again_when_asked(place: Place) -> None:
    place.write("""
services:
  web:
    build:
      context: .
      args: {WORD: "${WORD:-first}"}
      labels: {made: here}
      dockerfile_inline: |
        FROM busybox
        ARG WORD
        RUN echo $$WORD > /word
        COPY file /file
    command: sleep 100
    init: true
""")
    place.write("from the context\n", "file")
    place.compose("up", "-d")
    assert place.compose("exec", "-T", "web", "cat", "/word", "/file").stdout == "first\nfrom the context\n"
    place.environment["WORD"] = "second"
    out = place.compose("up", "-d", "--build")
    assert "Recreated" in out.stderr
    assert place.compose("exec", "-T", "web", "cat", "/word").stdout == "second\n"
    place.compose("down", "--rmi", "local")
    assert place.compose("images", "-q").stdout == ""


def test_a_provider_gives_variables_to_its_dependents(place: Place) -> None:
    place.write(
        '#!/bin/sh\necho "$@" >> "$PWD/asked"\necho \'{"type": "setenv", "message": "URL=here:1"}\'\n',
        "bin/docker-cloud",
    )
    (place.path / "bin/docker-cloud").chmod(0o755)
    place.write("""
services:
  store: {provider: {type: cloud, options: {size: 3}}}
  web: {image: busybox, command: sleep 100, init: true, depends_on: [store]}
""")
    place.compose("up", "-d")
    assert place.compose("exec", "-T", "web", "sh", "-c", "echo $STORE_URL").stdout == "here:1\n"
    place.compose("down", "-t", "0")
    name = re.sub("[^a-z0-9_-]", "", place.path.name.lower())
    asked = (place.path / "asked").read_text().splitlines()
    assert asked == [f"compose --project-name={name} {verb} --size=3 store" for verb in ("up", "down")] or (
        asked[0] == f"compose --project-name={name} up --size=3 store"
    )


def test_pre_stop_runs_before_the_stop_as_whom_and_where_it_says(place: Place) -> None:
    say = "echo $$WHO $$(id -u) $$(pwd) $$(( 0x$$(grep CapBnd /proc/self/status | cut -f2) >> 21 & 1 ))"
    place.write(f"""
services:
  web:
    image: busybox
    command: [sh, -c, "trap 'cat /out/file > /out/seen; exit 0' TERM; while :; do sleep 0.05; done"]
    volumes: ["./out:/out"]
    pre_stop:
      - command: [sh, -c, "{say} > /out/file"]
        user: "65534"
        privileged: true
        working_dir: /var
        environment: [WHO=me]
      - command: [sh, -c, "id -u >> /out/file"]
""")
    (place.path / "out").mkdir(0o777)
    (place.path / "out").chmod(0o777)
    place.compose("up", "-d")
    place.compose("stop")
    assert (place.path / "out/seen").read_text() == "me 65534 /var 1\n0\n"


def test_a_hook_that_fails_is_told(place: Place) -> None:
    place.write(f"services: {{web: {{image: busybox, {RUN}, post_start: [{{command: [sh, -c, 'exit 3']}}]}}}}\n")
    assert "web hook exited with status 3" in place.compose("up", "-d", status=1).stderr


def test_a_start_waits_for_every_condition(place: Place) -> None:
    """And not for what is not required: one that fails, one that is disabled."""
    place.write(f"""
services:
  web:
    image: busybox
    init: true
    stop_grace_period: 0s
    volumes: ["data:/data"]
    command: sh -c "ls /data; exec sleep 1000"
    depends_on:
      plain: {{condition: service_started}}
      job: {{condition: service_completed_successfully}}
      sick: {{condition: service_healthy}}
      fails: {{condition: service_completed_successfully, required: false}}
      off: {{condition: service_healthy, required: false}}
  plain: {{image: busybox, {RUN}, post_start: [{{command: touch /data/plain}}], volumes: ["data:/data"]}}
  job: {{image: busybox, command: sh -c "sleep 0.4; touch /data/job", volumes: ["data:/data"]}}
  sick:
    {{image: busybox, init: true, stop_grace_period: 0s, volumes: ["data:/data"],
      command: sh -c "sleep 0.4; touch /data/well; exec sleep 1000",
      healthcheck: {{test: test -e /data/well, interval: 100ms, retries: 100}}}}
  fails: {{image: busybox, command: "false"}}
  off: {{image: busybox, {RUN}, profiles: [never]}}
volumes: {{data: }}
""")
    out = place.compose("up", "-d")
    deadline = time.monotonic() + 10
    while not (said := place.compose("logs", "--no-log-prefix", "web").stdout) and time.monotonic() < deadline:
        time.sleep(0.1)  # `up` waits for the start of web, not for what it says
    assert said == "job\nplain\nwell\n"
    assert "fails" in out.stderr and place.compose("ps", "-a", "--services").stdout == "fails\njob\nplain\nsick\nweb\n"


def test_a_health_check_that_never_passes_is_named(place: Place) -> None:
    place.write("""
services:
  sick: {image: busybox, init: true, command: sleep 100, healthcheck: {test: "false", interval: 100ms, retries: 2}}
  web: {image: busybox, init: true, command: sleep 100, depends_on: {sick: {condition: service_healthy}}}
""")
    out = place.compose("up", "-d", "--wait", status=1)
    assert "-sick-1 is unhealthy" in out.stderr.splitlines()[-1]


def test_a_wait_that_lasts_too_long_says_for_what(place: Place) -> None:
    place.write("""
services:
  slow: {image: busybox, init: true, command: sleep 100, healthcheck: {test: "false", interval: 60s}}
""")
    out = place.compose("up", "-d", "--wait", "--wait-timeout", "1", status=1)
    assert "application not healthy after 1s" in out.stderr and "-slow-1" in out.stderr.splitlines()[-1]


def test_attached_up_ends_with_the_status_that_was_asked_for(place: Place) -> None:
    place.write("""
services:
  job: {image: busybox, command: sh -c "echo working; exit 7"}
  web: {image: busybox, init: true, stop_grace_period: 0s, command: sleep 100}
""")
    out = place.compose("up", "--exit-code-from", "job", status=7)
    assert re.search(r"job-1 +\| working", out.stdout)
    assert "job-1 exited with code 7" in out.stdout


def test_run_has_the_commands_status_and_leaves_nothing(place: Place) -> None:
    place.write("""
services:
  db: {image: busybox, init: true, command: sleep 100}
  web: {image: busybox, depends_on: [db], environment: {A: "1"}}
""")
    out = place.compose("run", "--rm", "-e", "B=2", "web", "sh", "-c", "echo $A$B; exit 5", status=5)
    assert out.stdout == "12\n"
    assert len(place.compose("ps", "-aq").stdout.split()) == 1


def test_what_was_killed_in_the_middle_is_gone_on_with(place: Place) -> None:
    rows = "".join(
        f"  s{n}: {{image: busybox, init: true, stop_grace_period: 0s, command: sleep 100}}\n" for n in range(8)
    )
    place.write("services:\n" + rows)
    command = [str(ROOT / ".venv/bin/wharf"), "compose", "up", "-d"]
    with subprocess.Popen(command, cwd=place.path, env=place.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "Created" in line and "Container" in line:
                process.kill()
                break
    place.compose("up", "-d", "--wait")
    assert len(place.compose("ps", "-q").stdout.split()) == 8


def test_models_are_asked_for_and_named_to_their_services(place: Place) -> None:
    plugin = (
        '#!/bin/sh\necho "$@" >> "$PWD/asked"\ncase $1 in\n'
        """ls) echo '[{"id": "1", "tags": ["ai/there"]}]' ;;\n"""
        """status) echo '{"endpoint": "http://models.example/v1"}' ;;\nesac\n"""
    )
    (place.path / "docker").mkdir()
    place.write(plugin, "docker/cli-plugins/docker-model")
    (place.path / "docker/cli-plugins/docker-model").chmod(0o755)
    place.write(f"""
services:
  web: {{image: busybox, {RUN}, models: [small-one]}}
  own: {{image: busybox, {RUN}, models: {{large: {{endpoint_var: URL, model_var: MODEL}}}}}}
models:
  small-one: {{model: ai/there, context_size: 1024, runtime_flags: [--fast]}}
  large: {{model: ai/large}}
""")
    out = place.compose("up", "-d", status=1)
    assert "'models' support requires Docker Model plugin" in out.stderr
    place.environment["DOCKER_CONFIG"] = str(place.path / "docker")
    place.compose("up", "-d")
    ask = ("exec", "-T", "web", "sh", "-c", "echo $SMALL_ONE_MODEL $SMALL_ONE_URL")
    assert place.compose(*ask).stdout == "ai/there http://models.example/v1\n"
    assert place.compose("exec", "-T", "own", "sh", "-c", "echo $MODEL $URL").stdout == (
        "ai/large http://models.example/v1\n"
    )
    assert (place.path / "asked").read_text().splitlines() == [
        "ls --json", "configure --context-size 1024 ai/there -- --fast", "pull ai/large", "configure ai/large",
        "status --json",
    ]  # fmt: skip
    assert "Recreate" not in place.compose("up", "-d").stderr


def test_gpus_where_no_driver_has_any(place: Place) -> None:
    place.write(f"services: {{web: {{image: busybox, {RUN}, gpus: all}}}}\n")
    out = place.compose("up", "-d", status=1)
    assert 'could not select device driver "" with capabilities: [[gpu]]' in out.stderr.splitlines()[-1]


def test_a_service_without_attach_is_not_shown(place: Place) -> None:
    place.write("""
services:
  quiet: {image: busybox, attach: false, command: echo not shown}
  loud: {image: busybox, command: echo shown}
""")
    lines = place.compose("up").stdout.splitlines()
    assert [line for line in lines if "|" in line] == ["loud-1  | shown"]


def test_a_container_that_dies_comes_back_as_its_policy_says(place: Place) -> None:
    script = "echo $$$$ >> /data/starts; test $$(wc -l < /data/starts) -gt 2 && exec sleep 1000; exit 1"
    place.write(f"""
services:
  web: {{image: busybox, init: true, stop_grace_period: 0s, restart: on-failure:5, volumes: ["data:/data"],
        command: [sh, -c, "{script}"]}}
volumes: {{data: }}
""")
    place.compose("up", "-d")
    wait = "until test $(wc -l < /data/starts) = 3; do sleep 0.05; done; wc -l < /data/starts"
    assert place.compose("run", "--rm", "-T", "--no-deps", "web", "sh", "-c", wait).stdout == "3\n"


def test_stop_sends_the_signal_that_was_chosen_and_waits_as_long(place: Place) -> None:
    script = "trap 'echo usr1 > /data/got; exit 0' USR1; while :; do sleep 0.05; done"
    place.write(f"""
services:
  web: {{image: busybox, stop_signal: SIGUSR1, stop_grace_period: 20s, volumes: ["data:/data"],
        command: [sh, -c, "{script}"]}}
volumes: {{data: }}
""")
    place.compose("up", "-d")
    place.compose("stop")
    assert place.compose("run", "--rm", "-T", "web", "cat", "/data/got").stdout == "usr1\n"


def test_a_second_up_waits_for_a_job_that_takes_a_while(place: Place) -> None:
    place.write(f"""
services:
  job: {{image: busybox, command: sleep 0.7}}
  web: {{image: busybox, {RUN}, depends_on: {{job: {{condition: service_completed_successfully}}}}}}
""")
    place.compose("up", "-d")
    place.compose("up", "-d")
    assert place.compose("ps", "--services").stdout == "web\n"


def test_the_names_of_old(place: Place) -> None:
    """COMPOSE_COMPATIBILITY=1."""
    place.write(f"services: {{web: {{image: busybox, {RUN}}}}}\n")
    place.environment["COMPOSE_COMPATIBILITY"] = "1"
    place.compose("up", "-d")
    assert place.compose("ps", "--format", "{{.Name}}").stdout == f"{place.project}_web_1\n"
