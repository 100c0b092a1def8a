"""A program of a user of Testcontainers: run by test_testcontainers.py where the daemon's published ports are in reach.

Prints one line of JSON with what it saw, then ends without a word to its containers: the reaper's business.
"""

import json
import os
import sys
import urllib.request

from testcontainers.core.container import DockerContainer, Reaper
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

SERVE = "mkdir /www; echo hello > /www/index.html; echo ready >&2; exec httpd -f -p 8080 -h /www"


def main() -> None:
    """See the module."""
    network = Network().create()
    web = (
        DockerContainer("busybox")
        .with_command(["sh", "-c", SERVE])
        .with_exposed_ports(8080)
        .with_env("KEY", "value")
        .with_network(network)
        .with_network_aliases("web")
        .waiting_for(LogMessageWaitStrategy("ready"))
        .start()
    )
    web.waiting_for(HttpWaitStrategy(8080).for_status_code(200))
    url = f"http://{web.get_container_host_ip()}:{web.get_exposed_port(8080)}/"
    other = DockerContainer("busybox").with_network(network).with_command("sleep 1000").start()
    code, output = other.exec(["wget", "-q", "-O", "-", "http://web:8080/"])
    with DockerContainer("busybox").with_command("echo done") as short:
        status = short.get_wrapped_container().wait()["StatusCode"]
        short_logs = short.get_logs()[0].decode()
    seen = {
        "fetched": urllib.request.urlopen(url, timeout=10).read().decode(),
        "exec": [code, output.decode()],
        "env": web.exec(["sh", "-c", "echo $KEY; exit 3"])[0],
        "logs": web.get_logs()[1].decode(),
        "short": [status, short_logs],
        "reaper": Reaper._container.get_wrapped_container().name,
    }
    print(json.dumps(seen), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
