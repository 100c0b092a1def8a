"""Images of the catalogue, built from Debian's packages, started, and answering clients over published ports.

Four of them are built by `make test`; `make test-catalog` builds all.
"""

import json
import os
import re
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.catalog.kit import Catalog
from tests.support.debian import SUITE
from tests.support.wharfd import ROOT

ALL = bool(os.environ.get("WHARF_TEST_CATALOG"))
long = pytest.mark.skipif(not ALL, reason="built by `make test-catalog`")


class TestSmall:
    def test_redis(self, catalog: Catalog) -> None:
        image = catalog.build("redis")
        with catalog.running(image) as redis:
            redis.ready()
            ask = ("redis-cli", "-h", "127.0.0.1", "-p", redis.port)
            assert catalog.client(image, *ask, "set", "k", "v") == "OK\n"
            assert catalog.client(image, *ask, "get", "k") == "v\n"
            assert (redis.user(), redis.exec("stat", "-c", "%U %u", "/data")) == ("redis", "redis 999\n")

    def test_redis_keeps_what_the_user_says_of_protected_mode(self, catalog: Catalog) -> None:
        image = catalog.build("redis")
        with catalog.running(image, command=("--protected-mode", "yes")) as redis:
            redis.ready()
            assert "DENIED" in catalog.client(image, "redis-cli", "-h", "127.0.0.1", "-p", redis.port, "ping")

    def test_memcached(self, catalog: Catalog) -> None:
        with catalog.running(catalog.build("memcached"), command=("-m", "8")) as memcached:
            memcached.ready()
            with socket.create_connection(("127.0.0.1", int(memcached.port)), 10) as client:
                client.sendall(b"set k 0 0 1\r\nv\r\nget k\r\nquit\r\n")
                answer = client.makefile("rb").read()
            assert answer == b"STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n"
            assert memcached.user() == "memcache"

    def test_nginx(self, catalog: Catalog, tmp_path: Path) -> None:
        (tmp_path / "site.conf.template").write_text(
            "server { listen 80; server_name ${NAME}; add_header X-Host $host; location / { return 200 '${NAME}'; } }"
        )
        (tmp_path / "site.conf.template").chmod(0o644)
        image = catalog.build("nginx")
        with catalog.running(image) as nginx:
            assert "This nginx works" in nginx.ready().get()
            assert "GET / HTTP/1.1" in nginx.logs()
        templates = f"{tmp_path}/site.conf.template:/etc/nginx/conf.d/../templates/default.conf.template:ro"
        with catalog.running(image, "-v", templates, "-e", "NAME=other") as nginx:
            assert nginx.ready().get() == "other"
            workers = nginx.exec("sh", "-c", "stat -c %U /proc/[0-9]*").split()
            assert "nginx" in workers

    def test_ruby(self, catalog: Catalog) -> None:
        answers(catalog, "ruby", "ruby", "nobody")

    def test_nothing_of_the_package_manager_stays(self, catalog: Catalog) -> None:
        """The documented list, looked up in an image; each line must be about something or say why it is there."""
        lines = (ROOT / "catalog/shared/leftovers").read_text().splitlines()
        paths = [line.split()[0] for line in lines if line and not line.startswith("#")]
        assert len(paths) > 10 and all(len(line.split()) > 1 for line in lines if line and line[0] != "#")
        script = ";".join(f"find {path} -type f" if path.endswith("/") else f"ls -d {path}" for path in paths)
        words = ("sh", "-c", f"({script}) 2>/dev/null; true")
        found = catalog.client(catalog.build("redis"), *words)
        assert set(found.split()) <= set(catalog.client(f"debian:{SUITE}", *words).split())


@long
class TestLanguages:
    @pytest.mark.parametrize(
        ("name", "language", "user"),
        [
            ("node", "node", "node"),
            ("php", "php 8", "www-data"),
            ("python", "python 3", "nobody"),
            ("java", "java", "nobody"),
        ],
    )
    def test_an_application(self, catalog: Catalog, name: str, language: str, user: str) -> None:
        if name == "java":
            catalog.build("java")
            catalog.build("java", "jdk")
        answers(catalog, name, language, user)

    def test_npm_is_a_target_of_its_own(self, catalog: Catalog) -> None:
        catalog.build("node")
        assert catalog.client("catalog/node", "sh", "-c", "command -v npm || echo none") == "none\n"
        assert re.match(r"\d+\.", catalog.client(catalog.build("node", "npm"), "npm", "--version"))

    def test_pip_installs_into_the_image(self, catalog: Catalog, tmp_path: Path) -> None:
        """Debian's own pip refuses to; a wheel made here needs no index."""
        wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny.py", "SIZE = 'small'\n")
            archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
            archive.writestr(
                "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr("tiny-1.0.dist-info/RECORD", "")
        script = f"pip install -q --no-index /w/{wheel.name} && python -c 'import tiny; print(tiny.SIZE)'"
        words = ("--rm", "--network", "none", "-v", f"{tmp_path}:/w:ro", "--entrypoint", "sh")
        assert catalog.wharf("run", *words, catalog.build("python"), "-c", script).stdout == "small\n"


@long
def test_a_c_program_alone(catalog: Catalog, tmp_path: Path) -> None:
    """Compiled in one stage and copied to scratch: the image is that file."""
    file = str(ROOT / "examples/hello-c/Dockerfile")
    catalog.wharf("build", "-q", "--no-cache", "--build-arg", f"SUITE={SUITE}", "-t", "hello-c", "-f", file, str(ROOT))
    assert catalog.wharf("run", "--rm", "hello-c").stdout == "Hello from a program that is alone in its image.\n"
    catalog.wharf("save", "-o", str(tmp_path / "hello.tar"), "hello-c")
    with tarfile.open(tmp_path / "hello.tar") as archive:
        manifest = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest"))
        (layer,) = manifest[0]["Layers"]
        with tarfile.open(fileobj=archive.extractfile(layer)) as files:
            assert [(item.name, item.mode) for item in files] == [("hello", 0o755)]


def answers(catalog: Catalog, name: str, language: str, user: str) -> None:
    """An application upon an image answers over its port, as its user."""
    with catalog.running(catalog.app(name)) as app:
        answer = app.get("/some/path")
        assert f'"{language}' in answer and "/some/path" in answer
        assert app.user() == user
