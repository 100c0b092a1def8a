"""What builds fetch: ADD of URLs and repositories, contexts by URL and git, from servers of the test's own; and what
they refuse to fetch."""

import contextlib
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.building import build, inside, wharf, write
from tests.support.wharfd import Wharfd, docker_client

FILE = b"text behind a URL\n"
_GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b", "GIT_AUTHOR_DATE": "1700000000 +0000",
        "GIT_COMMITTER_DATE": "1700000000 +0000"}  # fmt: skip


def _archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in (("Dockerfile", b"FROM busybox\nCOPY f /f\n"), ("f", b"out of the archive")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    return out.getvalue()


class Web(http.server.ThreadingHTTPServer):
    """Files, redirects, and repositories beneath `root` by git's own program for HTTP."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.files = {
            "/file": FILE,
            "/a.tar.gz": _archive(),
            "/plain/Dockerfile": b"FROM busybox\nRUN echo alone > /f\n",
            "/noise.bin": b"\0\1\2 no archive and no text",
        }
        self.redirects: dict[str, str] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/git/"):
            self._git(path.removeprefix("/git"), query)
            return
        if path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.server.files.get(path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(data or b"")

    do_POST = do_GET

    def _git(self, path: str, query: str) -> None:
        """RFC 3875: what git-http-backend wants to know, and its head before the body."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "", "REMOTE_ADDR": "127.0.0.1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        """Quiet."""


class Repository:
    """A repository with two commits on `main`, a tag and a branch."""

    def __init__(self, root: Path) -> None:
        self.root = root / "repo.git"
        self.root.mkdir()
        self._git("init", "-q", "-b", "main")
        write(self.root, {"f": "first", "sub/Dockerfile": "FROM busybox\nCOPY f /f\n", "sub/f": "in sub"})
        self.first = self.commit()
        self._git("tag", "v1")
        write(self.root, {"f": "second", "Dockerfile": "FROM busybox\nCOPY f /f\n"})
        self.second = self.commit()

    def commit(self) -> str:
        self._git("add", "-A")
        self._git("commit", "-qm", "more")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.root), *words],
            env={**os.environ, **_GIT},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """One that may fetch from 127.0.0.1, and no other private address."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WHARF_BUILD_PRIVATE_ADDRESSES", "127.0.0.1/32")
            running = stack.enter_context(Wharfd(own_network=False))
        running.load_busybox()
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[Wharfd]:
    """One as everybody starts it."""
    with Wharfd(own_network=False) as running:
        running.load_busybox()
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="module")
def web(repository: Repository) -> Iterator[Web]:
    server = Web(repository.root.parent)
    yield server
    server.shutdown()
    server.server_close()


def _dockerfile(tmp_path: Path, text: str) -> Path:
    return write(tmp_path / "context", {"Dockerfile": f"FROM busybox\n{text}"})


class TestAdd:
    def test_a_url(self, daemon: Wharfd, web: Web, tmp_path: Path) -> None:
        digest = "sha256:" + hashlib.sha256(FILE).hexdigest()
        root = _dockerfile(
            tmp_path,
            f"ADD http://{web.host}/file /f\nADD --checksum={digest} --chmod=640 --chown=4 http://{web.host}/file /d/\n"
            f"ADD --unpack http://{web.host}/a.tar.gz /x/\nADD http://{web.host}/a.tar.gz /kept/",
        )
        build(daemon, root, "-t", "added")
        assert inside(daemon, "added", "cat /f /x/f; stat -c '%a %u %Y' /f /d/file; ls /kept") == (
            FILE.decode() + "out of the archive600 0 978307200\n640 4 978307200\na.tar.gz\n"
        )
        assert "Using cache" in build(daemon, root)
        web.files["/changing"] = b"one"
        root = _dockerfile(tmp_path, f"ADD http://{web.host}/changing /f")
        build(daemon, root)
        assert "Using cache" in build(daemon, root)
        web.files["/changing"] = b"two"
        assert "Using cache" not in build(daemon, root)

    def test_a_url_without_a_name(self, daemon: Wharfd, web: Web, tmp_path: Path) -> None:
        web.files["/"] = b"of the root"
        build(daemon, _dockerfile(tmp_path, f"ADD http://{web.host}/ /d/"), "-t", "unnamed")
        assert inside(daemon, "unnamed", "cat /d/__unnamed__") == "of the root"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("ADD --checksum=sha256:{zeros} http://{host}/file /f", "digest mismatch"),
            ("ADD http://{host}/nosuch /f", "invalid response status 404"),
            ("ADD http://127.0.0.1:1/x /f", "cannot fetch"),
            ("ADD http://{host}/git/repo.git?depth=1 /f", "unexpected query 'depth' in git URL"),
            ("ADD http://{host}/git/repo.git#--upload-pack=x /f", "invalid git reference"),
            ("ADD http://{host}/git/repo.git#main:../.. /f", "invalid git reference"),
            ("ADD http://{host}/git/repo.git#nosuch /f", "failed to fetch the repository"),
            ("ADD --checksum={zeros} http://{host}/git/repo.git#main /f", "expected checksum to match"),
            ("ADD git@127.0.0.1:x/y.git /f", "no SSH key 'default' forwarded from the client"),
        ],
    )
    def test_what_is_refused(self, daemon: Wharfd, web: Web, tmp_path: Path, text: str, words: str) -> None:
        root = _dockerfile(tmp_path, text.replace("{host}", web.host).replace("{zeros}", "0" * 64))
        done = wharf(daemon, "build", str(root), check=False)
        assert done.returncode and words in done.stderr and "Dockerfile:2" in done.stderr, done.stderr

    def test_a_repository(self, daemon: Wharfd, web: Web, repository: Repository, tmp_path: Path) -> None:
        url = f"http://{web.host}/git/repo.git"
        root = _dockerfile(
            tmp_path,
            f"ADD {url} /head/\nADD {url}#v1 /tag/\nADD {url}#{repository.first} /commit/\nADD {url}#main:sub /sub/\n"
            f"ADD --keep-git-dir {url}#v1 /kept/\nADD --checksum={repository.second} {url}#main /checked/",
        )
        build(daemon, root, "-t", "cloned")
        assert inside(
            daemon, "cloned", "cat /head/f /tag/f /commit/f /sub/f /checked/f; ls -d /*/.git"
        ) == ("secondfirstfirstin subsecond/kept/.git\n")  # fmt: skip


class TestContexts:
    def test_a_repository_with_a_ref_and_a_directory(
        self, daemon: Wharfd, web: Web, repository: Repository, tmp_path: Path
    ) -> None:
        url = f"http://{web.host}/git/repo.git"
        wharf(daemon, "build", "-t", "remote:1", url)
        assert inside(daemon, "remote:1", "cat /f") == "second"
        wharf(daemon, "build", "-t", "remote:2", f"{url}#v1:sub")
        assert inside(daemon, "remote:2", "cat /f") == "in sub"
        wharf(daemon, "build", "-t", "remote:3", "-f", "sub/Dockerfile", f"{url}#main")
        assert inside(daemon, "remote:3", "cat /f") == "second"

    def test_an_archive_and_a_dockerfile(self, daemon: Wharfd, web: Web) -> None:
        environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
        for path, text in (("a.tar.gz", "out of the archive"), ("plain/Dockerfile", "alone\n")):
            wharf(daemon, "build", "-t", "remote:4", f"http://{web.host}/{path}")
            assert inside(daemon, "remote:4", "cat /f") == text
        command = [docker_client(), "build", "-t", "remote:5", f"http://{web.host}/a.tar.gz"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert inside(daemon, "remote:5", "cat /f") == "out of the archive"

    def test_as_named_contexts(self, daemon: Wharfd, strict: Wharfd, web: Web, tmp_path: Path) -> None:
        """A repository's files; a file under its own name, an archive too: as BuildKit takes them."""
        context = _dockerfile(tmp_path, "COPY --from=repo . /r/\nCOPY --from=web file /\nCOPY --from=packed . /p/\n")
        flags = [
            word
            for name, path in (("repo", "git/repo.git#main:sub"), ("web", "file"), ("packed", "a.tar.gz"))
            for word in ("--build-context", f"{name}=http://{web.host}/{path}")
        ]
        build(daemon, context, "-t", "named", *flags)
        assert inside(daemon, "named", "ls /r /p; cat /file") == "/p:\na.tar.gz\n\n/r:\nDockerfile\nf\n" + FILE.decode()
        assert "which is no public address" in build(strict, context, *flags, check=False)

    def test_what_is_no_context(self, daemon: Wharfd, web: Web) -> None:
        done = wharf(daemon, "build", f"http://{web.host}/noise.bin", check=False)
        assert done.returncode and "neither a Dockerfile nor an archive" in done.stderr
        done = wharf(daemon, "build", f"http://{web.host}/git/repo.git#main:nosuch", check=False)
        assert done.returncode and "nosuch: not found" in done.stderr

    def test_nothing_of_them_stays(self, daemon: Wharfd, web: Web) -> None:
        wharf(daemon, "build", f"http://{web.host}/git/repo.git")
        left = [path for name in ("contexts", "downloads") for path in Path(daemon.root, "data/build", name).iterdir()]
        assert not left


class TestPrivateAddresses:
    def test_they_are_refused_unless_allowed(self, strict: Wharfd, web: Web, tmp_path: Path) -> None:
        for word in (
            f"http://{web.host}/file",
            f"http://{web.host}/git/repo.git",
            "http://localhost/x",
            "http://[::1]/x",
        ):
            done = wharf(strict, "build", str(_dockerfile(tmp_path, f"ADD {word} /f")), check=False)
            assert done.returncode and "which is no public address" in done.stderr, done.stderr
            done = wharf(strict, "build", word, check=False)
            assert done.returncode and "which is no public address" in done.stderr, done.stderr

    def test_a_redirect_to_one_is_refused(self, daemon: Wharfd, web: Web, tmp_path: Path) -> None:
        web.redirects["/inside"] = f"http://127.0.0.2:{web.server_port}/file"
        for word in (f"http://{web.host}/inside", f"http://127.0.0.2:{web.server_port}/file"):
            done = wharf(daemon, "build", str(_dockerfile(tmp_path, f"ADD {word} /f")), check=False)
            assert done.returncode and "127.0.0.2, which is no public address" in done.stderr

    def test_redirects_are_followed_where_they_may_lead(self, daemon: Wharfd, web: Web, tmp_path: Path) -> None:
        web.redirects["/moved"] = f"http://{web.host}/file"
        web.redirects["/strange"] = "ftp://127.0.0.1/x"
        build(daemon, _dockerfile(tmp_path, f"ADD http://{web.host}/moved /f"), "-t", "moved")
        assert inside(daemon, "moved", "cat /f") == FILE.decode()
        done = wharf(daemon, "build", str(_dockerfile(tmp_path, f"ADD http://{web.host}/strange /f")), check=False)
        assert done.returncode and "not a URL that can be fetched" in done.stderr


class TestLock:
    def test_it_names_every_source_and_holds(
        self, daemon: Wharfd, web: Web, repository: Repository, tmp_path: Path
    ) -> None:
        web.files["/locked"] = b"one"
        url = f"http://{web.host}/git/repo.git"
        root = _dockerfile(
            tmp_path, f"ADD http://{web.host}/locked /l\nADD {url}#moving /g/\nCOPY --from=busybox /bin/busybox /b"
        )
        repository._git("branch", "-f", "moving", repository.first)
        build(daemon, root, "--lock", "-t", "lock:1")
        text = (root / "Dockerfile.lock").read_text()
        assert repository.first in text and hashlib.sha256(b"one").hexdigest() in text
        assert "image docker.io/library/busybox:latest linux/amd64" in text
        repository._git("branch", "-f", "moving", repository.second)
        build(daemon, root, "--locked", "-t", "lock:2")
        assert inside(daemon, "lock:2", "cat /g/f") == "first", "the commit of the lock, though the branch has moved"
        web.files["/locked"] = b"two"
        done = wharf(daemon, "build", "--locked", str(root), check=False)
        assert done.returncode and "the lock file has sha256:" in done.stderr
        write(root, {"Dockerfile": f"FROM busybox\nADD http://{web.host}/file /f"})
        done = wharf(daemon, "build", "--locked", str(root), check=False)
        assert done.returncode and "the lock file has no 'http" in done.stderr

    def test_a_base_image_that_has_moved(self, daemon: Wharfd, tmp_path: Path) -> None:
        daemon.docker("tag", "busybox", "moves:1")
        root = write(tmp_path / "context", {"Dockerfile": "FROM moves:1\nRUN true"})
        build(daemon, root, "--lock")
        build(daemon, write(tmp_path / "other", {"Dockerfile": "FROM busybox\nRUN echo x > /moved"}), "-t", "moves:1")
        build(daemon, root, "--locked", "-t", "moves:2")
        assert inside(daemon, "moves:2", "ls /moved || echo none") == "none\n"
        daemon.docker("rmi", "-f", "moves:2")

    def test_a_bad_lock_file(self, daemon: Wharfd, tmp_path: Path) -> None:
        root = write(tmp_path / "context", {"Dockerfile": "FROM busybox"})
        done = wharf(daemon, "build", "--locked", str(root), check=False)
        assert done.returncode and "cannot read the lock file" in done.stderr
        write(root, {"Dockerfile.lock": '{"version": 9}'})
        done = wharf(daemon, "build", "--locked", str(root), check=False)
        assert done.returncode and "invalid lock file" in done.stderr
