"""The same command line given to docker and to wharf: the same output, the same complaints, the same status."""

import re
import shlex
import subprocess

import pytest

from tests.support.wharfd import Wharfd, newest_docker_client
from tests.system.cli.conftest import Run

KNOWN_CLIENT = "28."
LINES = """
ps
ps -a
ps -q --no-trunc
ps --format '{{.Names}} {{.Status}} {{.Ports}} {{.Label "a"}}'
ps --format 'table {{.ID}}\\t{{.Names}}\\t{{.Mounts}}'
ps --filter name=web --filter status=running
ps --filter x=y
ps --format '{{.ID'
ps --last x
ps nothing
inspect web
inspect nothing
inspect web nothing
inspect -f '{{.State.Status}} {{.State.Health}} {{.Config.Cmd}} {{.HostConfig.CapAdd}} {{.Config.Labels}}' web
inspect -f '{{json .NetworkSettings.Ports}}' web
inspect -f '{{.Nothing}}' web
inspect --type volume data
inspect --type what web
image inspect busybox
container inspect nothing
logs web
logs -t --tail 1 web
logs nothing
exec web sh -c 'echo out; echo err >&2; exit 3'
exec -e A=b -w /tmp -u 33 web sh -c 'pwd; id; echo $A'
exec web nosuch
exec nothing ls
exec -it web sh
run --rm --network none busybox sh -c 'echo out; echo err >&2; exit 7'
run --rm --network none busybox nosuch
run --rm --network none busybox /etc
run --rm --network none --entrypoint echo busybox hi there
run --rm --network none -m 64m --pids-limit 20 --read-only --tmpfs /x:size=1m busybox sh -c 'df /x; touch /y'
run --rm --name web busybox
run --rm --network nothing busybox true
run --pull never --rm nosuch:image
run --rm --restart always busybox
run --expose x busybox
run -e =x busybox
run --memory x busybox
run --nonsense
run
images
images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}'
history busybox
rmi nothing
rmi -f nothing
tag nothing x:1
save nothing
load -i /nonexistent
commit nothing
start web nothing
stop nothing
stop -t x web
kill nothing
kill -s nonsense web
rm web
rm -f nothing
rename nothing new
wait nothing
port web
port web 80
port web 81
top web -o pid,args
top web
top nothing
top
top web -o nosuch
stats --no-stream nothing
stats --no-stream web nothing
stats --no-stream --format '{{.Name}} {{.PIDs}} {{.ID}} {{.Container}} {{.BlockIO}}' web
stats --no-stream --no-trunc --format 'table {{.Name}}\\t{{.PIDs}}\\t{{.ID}}'
stats --nonsense
volume ls
system df
system df --format '{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}'
system df -v
system prune --volumes -f --filter until=1h
plugin ls
plugin ls -q
plugin inspect nothing
plugin rm nothing
plugin disable nothing
context show
context ls --format '{{.Name}}'
context inspect nothing
context rm default
context use nothing
volume inspect data
volume rm nothing
network ls
network create
network create a b
network create bridge
network create ''
network create --subnet 10.9.0.0/24 --gateway 10.1.0.1 x
network create --ip-range 10.9.0.0/24 x
network create --subnet 10.0.0.0/8 --subnet 10.1.0.0/16 x
network create --subnet x --gateway 1.2.3.4 x
network create --subnet 10.9.0.0/24 --gateway x x
network create --subnet 10.9.0.0/24 --ip-range x x
network create --subnet 10.9.0.0/24 --aux-address a=10.1.0.1 x
network create --subnet 10.9.0.7/24 x
network create --label '' x
network create --driver nosuch x
network connect x
network connect nothing web
network connect bridge web
network connect --driver-opt x bridge web
network connect --gw-priority x bridge web
network disconnect nothing web
network disconnect bridge nothing
network disconnect host web
network inspect nothing
network prune -f --filter x=y
run --network a --network a busybox
run --network host --network a busybox
run --network name=a,gw-priority=x busybox
run --network name=a,x=y busybox
run --network bridge --network-alias x busybox
run --network name=a,ip=10.0.0.1 --ip 10.0.0.2 busybox
run --mac-address zz busybox
run --net nothing busybox
cp web:/nothing .
cp nothing:/x .
cp web:/a web:/b
info -f '{{.Driver}} {{.NCPU}} {{json .Runtimes}}'
version -f '{{.Server.Version}}'
nonsense
container nonsense
"""


def _plain(text: str) -> str:
    """Without what differs from run to run: times, ages (and the widths of their columns) and ids."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"(Less than a second|About a minute|About an hour|\d+ \w+) ago", "<age>", text)
    text = re.sub(r"Up (Less than a second|About a minute|\d+ \w+)", "Up <age>", text)
    return re.sub(r"(CREATED|STATUS|<age>) +", r"\1 ", text).replace("docker", "wharf")


@pytest.fixture(scope="module")
def client(daemon: Wharfd) -> str:
    """The docker command line's version."""
    return daemon.docker("version", "-f", "{{.Client.Version}}").stdout.strip()


@pytest.mark.parametrize("line", [line for line in LINES.splitlines() if line])
def test_wharf_answers_as_docker(daemon: Wharfd, wharf: Run, client: str, line: str) -> None:
    if not client.startswith(KNOWN_CLIENT):
        pytest.skip(f"the docker command line here is {client}, its wording was compared in {KNOWN_CLIENT}x")
    arguments = shlex.split(line)
    theirs = subprocess.run(
        [newest_docker_client(), *arguments],
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    ours = wharf(*arguments)
    assert (ours.returncode, _plain(ours.stdout), _plain(ours.stderr)) == (
        theirs.returncode,
        _plain(theirs.stdout),
        _plain(theirs.stderr),
    )
