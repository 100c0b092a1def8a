"""The engine as an object in somebody else's process: no API, no signal handler, no thread left."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive

ROOT = Path(__file__).parents[3]

PROGRAM = """
import io, signal, sys, threading
from wharf.engine.attach import AttachRequest, attach_container
from wharf.engine.config import EngineConfig
from wharf.engine.create import create_container
from wharf.engine.engine import Engine
from wharf.engine.image_transfer import load_images
from wharf.engine.start import start_container
from wharf.engine.wait import wait_container
from wharf.errors import Conflict
from wharf.spec.container import ContainerConfig, CreateRequest, HostConfig

config = EngineConfig(sys.argv[1] + "/data", sys.argv[1] + "/exec")
handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
engine = Engine.open(config)
try:
    Engine.open(config)
except Conflict as error:
    print("second:", "in use" in error.message)
load_images(engine, io.BytesIO(sys.stdin.buffer.read()), lambda message: None)
container = ContainerConfig(image="busybox", cmd=["sh", "-c", "echo library; exit 3"])
made = create_container(engine, CreateRequest(container, HostConfig(network_mode="none")))
attached = attach_container(engine, made.id, AttachRequest(stdout=True))
ended = wait_container(engine, made.id, "next-exit")
start_container(engine, made.id)
stream = attached.stream.result(10)
data = b""
while chunk := stream.recv(4096):
    data += chunk
stream.close()
print("output:", data[8:])
print("code:", ended.result(10).status_code)
engine.close()
print("threads:", [thread.name for thread in threading.enumerate()])
print("handlers:", all(signal.getsignal(number) == handler for number, handler in handlers.items()))
"""


@pytest.mark.xdist_group("engine-library")
def test_open_run_close(tmp_path: Path) -> None:
    command = ["unshare", "-n", sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, input=docker_archive("busybox:latest"), capture_output=True, cwd=ROOT, check=False)
    assert done.stdout.decode().splitlines() == [
        "second: True",
        "output: b'library\\n'",
        "code: 3",
        "threads: ['MainThread']",
        "handlers: True",
    ], done.stderr.decode()
