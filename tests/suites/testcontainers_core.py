"""Testcontainers' own tests/core, unmodified, against a fresh wharfd:
`python -m tests.suites.testcontainers_core CHECKOUT`.

`make test-testcontainers TESTCONTAINERS=CHECKOUT`. As docker_py.py: own namespaces, docker.io is a registry of ours
with stand-ins; the reaper is one that speaks its protocol (reaper.c). Compose tests run where docker has its plugin.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.suites.figures import note
from tests.suites.standins import Standin, counts, environment, fill, go_inside, left_out
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd, docker_client

HERE = Path(__file__).parent
HTML = "usr/share/nginx/html"
NGINX_PROGRAM = f"""#!/bin/sh
# the pages, and a server for each `listen PORT; … return STATUS;` of the configuration
for file in /etc/nginx/conf.d/*.conf; do
  port=$(sed -n 's/.*listen \\([0-9]*\\).*/\\1/p' "$file"); status=$(sed -n 's/.*return \\([0-9]*\\).*/\\1/p' "$file")
  [ -z "$port" ] || nc -ll -p "$port" -e nginx-answer "$status" &
done
echo "start worker processes"
exec httpd -f -p 80 -h /{HTML}
"""
NGINX_ANSWER = """#!/bin/sh
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf 'HTTP/1.1 %s Said\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n' "$1"
"""
NGINX = Standin(
    {"Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}},
    {
        f"{HTML}/index.html": ("<h1>Welcome to nginx!</h1>\n", 0o644),
        "usr/sbin/nginx": (NGINX_PROGRAM, 0o755),
        "usr/sbin/nginx-answer": (NGINX_ANSWER, 0o755),
        "etc/nginx/conf.d/default.conf": ("", 0o644),
    },
)
HELLO = '#!/bin/sh\necho \'{"msg":"serving"}\' >&2\nexec httpd -f -p 8080 -h /www\n'
SOCAT = """#!/bin/sh
# socat TCP-LISTEN:8080,fork,reuseaddr TCP:host:port, as often as wanted
for word; do case $word in
  TCP-LISTEN:*) from=${word#TCP-LISTEN:}; from=${from%%,*};;
  TCP:*) to=${word#TCP:}; nc -ll -p "$from" -e nc "${to%:*}" "${to##*:}" & ;;
esac; done
wait
"""
BASH = Standin({"Cmd": ["bash"]}, {"usr/local/bin/bash": ('#!/bin/sh\nexec /bin/sh "$@"\n', 0o755)})
PACKAGES = (
    "testcontainers==4.15.0", "docker", "urllib3", "wrapt", "typing-extensions", "python-dotenv", "pytest",
    "pytest-timeout", "pytest-mock",
    "pytest-asyncio", "paramiko", "pg8000", "sqlalchemy", "psycopg2-binary", "redis", "httpx", "requests", "anyio",
)  # fmt: skip
TEST_SECONDS = 180


def images(reaper: bytes) -> dict[str, Standin]:
    """Public name -> what stands for it."""
    hello = Standin({"Cmd": ["echo", "Hello from Docker!"]})
    return {
        "library/hello-world:latest": hello,
        **{
            f"library/{name}": Standin()
            for name in ("alpine:latest", "busybox:latest", "ubuntu:24.04", "ubuntu:latest")
        },
        "library/busybox:buildroot-2014.02": Standin(),
        "library/bash:latest": BASH,
        **{f"library/nginx:{tag}": NGINX for tag in ("latest", "alpine", "alpine-slim", "1.25.4-alpine-slim")},
        "alpine/socat:1.7.4.3-r0": Standin({"Cmd": ["socat"]}, {"usr/bin/socat": (SOCAT, 0o755)}),
        "testcontainers/helloworld:1.2.0": Standin(
            {"Cmd": ["/serve"], "ExposedPorts": {"8080/tcp": {}}},
            {"serve": (HELLO, 0o755), "www/ping": ("PONG", 0o644), "www/index.html": ("Hello world\n", 0o644)},
        ),
        "testcontainers/ryuk:0.8.1": Standin({"Cmd": ["/reaper"]}, {"reaper": (reaper, 0o755)}),
    }


def build_reaper() -> bytes:
    """The stand-in's program, statically linked; RuntimeError says what is missing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("no C compiler for the reaper's stand-in: install gcc and libc6-dev")
    with tempfile.TemporaryDirectory() as directory:
        command = [compiler, "-static", "-O1", "-o", f"{directory}/reaper", str(HERE / "reaper.c")]
        subprocess.run(command, check=True)
        return Path(f"{directory}/reaper").read_bytes()


def main(arguments: list[str]) -> int:
    if not arguments or not Path(arguments[0], "tests/core").is_dir():
        print(
            "skipped: name a checkout of testcontainers-python 4.15: make test-testcontainers TESTCONTAINERS=…",
            file=sys.stderr,
        )
        return 0
    checkout, words = os.path.abspath(arguments[0]), arguments[1:]
    if not os.environ.get("WHARF_SUITE_INSIDE"):
        environment("testcontainers", PACKAGES)
    go_inside("tests.suites.testcontainers_core", [checkout, *words])
    python = environment("testcontainers", PACKAGES)
    out = [word for node in left_out(HERE / "testcontainers_core.tsv") for word in ("--deselect", node)]
    with Registry() as registry:
        fill(registry, images(build_reaper()))
        with Wharfd("--registry-mirror", f"http://{registry.host}", own_network=False, place="/dev/shm") as daemon:
            report = f"{daemon.root}/report.xml"
            command = [
                python, "-m", "pytest", "-q", "-o", f"cache_dir={daemon.root}/cache", "-o", "log_cli=false",
                "-p", "no:xdist", "--timeout", str(TEST_SECONDS), "--junitxml", report, *out,
                *(words or ["tests/core"]),
            ]  # fmt: skip
            os.makedirs(f"{daemon.root}/client")
            plugins = os.environ.get("WHARF_TEST_PLUGINS", "/usr/libexec/docker/cli-plugins")
            Path(f"{daemon.root}/client/config.json").write_text(f'{{"cliPluginsExtraDirs": ["{plugins}"]}}')
            # The client's plugins lie beside the one that set-up unpacked, or where WHARF_TEST_PLUGINS says.
            ran = {
                **daemon.environment,
                "PATH": f"{os.path.dirname(docker_client())}:{os.environ['PATH']}",
                "PYTHONPATH": f"{checkout}/src",
                "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": daemon.root,
                "TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE": daemon.socket,
            }
            code = subprocess.run(command, cwd=checkout, env=ran, check=False).returncode
            if not words:
                note("testcontainers-python 4.15.0, tests/core", counts(report), 0)
            if code:
                print(daemon.log(), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
