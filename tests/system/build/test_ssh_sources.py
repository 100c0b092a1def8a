"""Repositories through SSH: ADD and contexts, signed for by the agent or the key that a client lends, and by nothing
else; submodules."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.building import build, inside, wharf, write
from tests.support.sshd import SshServer
from tests.support.wharfd import Wharfd

_GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b"}  # fmt: skip


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """One that may reach 127.0.0.1, and no other private address."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHARF_BUILD_PRIVATE_ADDRESSES", "127.0.0.1/32")
        running = Wharfd(own_network=False)
        with running:
            running.load_busybox()
            running.environment["XDG_CACHE_HOME"] = f"{running.root}/cache"
            running.environment.pop("SSH_AUTH_SOCK", None)
            yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with SshServer(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a submodule, whose URL is relative, and which has one of its own."""
    root = tmp_path_factory.mktemp("repositories")
    for name, below in (("inner", ""), ("middle", "inner"), ("outer", "middle")):
        where = root / f"{name}.git"
        where.mkdir()
        _git(where, "init", "-q", "-b", "main")
        write(where, {"f": name, "Dockerfile": "FROM busybox\nCOPY f /f\nCOPY . /all/\n"})
        if below:
            _git(
                where,
                "-c",
                "protocol.file.allow=always",
                "submodule",
                "--quiet",
                "add",
                str(root / f"{below}.git"),
                "sub",
            )
            _git(where, "config", "-f", ".gitmodules", "submodule.sub.url", f"../{below}.git")
        _git(where, "add", "-A")
        _git(where, "commit", "-qm", "all")
    return root / "outer.git"


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], env={**os.environ, **_GIT}, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def url(server: SshServer, repository: Path) -> str:
    return f"ssh://root@{server.host}:{server.port}{repository}"


@pytest.fixture
def agent(server: SshServer, tmp_path: Path) -> Iterator[str]:
    """The socket of an agent that has the key."""
    path = str(tmp_path / "agent")
    running = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        subprocess.run(
            ["sh", "-c", 'until ssh-add -q "$1" 2>/dev/null; do sleep 0.05; done', "sh", str(server.key)],
            env={**os.environ, "SSH_AUTH_SOCK": path}, check=True, timeout=30,
        )  # fmt: skip
        yield path
    finally:
        running.terminate()
        running.wait()


def test_add_with_an_agent(daemon: Wharfd, url: str, repository: Path, agent: str, tmp_path: Path) -> None:
    commit = _git(repository, "rev-parse", "HEAD")
    text = f"FROM busybox\nADD {url}#main /a/\nADD --checksum={commit} {url}?submodules=false /b/\n"
    root = write(tmp_path / "context", {"Dockerfile": text})
    build(daemon, root, "-t", "added", "--ssh", f"default={agent}")
    assert inside(daemon, "added", "cat /a/f /a/sub/f /a/sub/sub/f /b/f; ls -A /b/sub; find / -xdev -name .git") == (
        "outermiddleinnerouter"
    )
    assert "Using cache" in build(daemon, root, "-t", "added", "--ssh", f"default={agent}")


def test_a_context_with_a_key(daemon: Wharfd, server: SshServer, url: str, repository: Path, tmp_path: Path) -> None:
    wharf(daemon, "build", "-t", "remote", "--ssh", f"default={server.key}", f"{url}#main")
    assert (
        inside(daemon, "remote", "cat /f /all/sub/sub/f; ls -A /all") == "outerinner.gitmodules\nDockerfile\nf\nsub\n"
    )
    keep = ("--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")
    wharf(daemon, "build", "-t", "kept", *keep, "--ssh", f"default={server.key}", url)
    assert inside(daemon, "kept", "cat /all/.git/HEAD").strip() == _git(repository, "rev-parse", "HEAD")
    text = "FROM busybox\nCOPY --from=there f /named\n"
    root = write(tmp_path / "context", {"Dockerfile": text})
    build(daemon, root, "-t", "named", "--ssh", f"default={server.key}", "--build-context", f"there={url}")
    assert inside(daemon, "named", "cat /named") == "outer"


def test_without_a_key(daemon: Wharfd, url: str, tmp_path: Path) -> None:
    root = write(tmp_path / "context", {"Dockerfile": f"FROM busybox\nADD {url} /a/\n"})
    words = "no SSH key 'default' forwarded from the client"
    assert words in build(daemon, root, check=False)
    assert words in wharf(daemon, "build", url, check=False).stderr
    words = "make sure SSH_AUTH_SOCK is set"
    assert words in wharf(daemon, "build", "--ssh", "default", url, check=False).stderr


def test_a_key_that_the_server_does_not_know(daemon: Wharfd, url: str, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    done = wharf(daemon, "build", "--ssh", f"default={key}", url, check=False)
    assert done.returncode and "Permission denied (publickey)" in done.stderr, done.stderr
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True)
    done = wharf(daemon, "build", "--ssh", f"default={key}", url, check=False)
    assert done.returncode and f"failed to parse {key}" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ssh://root@127.0.0.2/x.git", "127.0.0.2, which is no public address"),
        ("git@127.0.0.2:x.git", "127.0.0.2, which is no public address"),
        ("ssh://-oProxyCommand=x/y.git", "not a URL that can be fetched"),
        ("ssh://127.0.0.1:1/x.git", "Connection refused"),
    ],
)
def test_what_is_not_connected_to(daemon: Wharfd, server: SshServer, url: str, words: str, tmp_path: Path) -> None:
    root = write(tmp_path / "context", {"Dockerfile": f"FROM busybox\nADD {url} /a/\n"})
    out = build(daemon, root, "--ssh", f"default={server.key}", check=False)
    assert words in out and "Dockerfile:2" in out, out


def test_nothing_of_them_stays(daemon: Wharfd, server: SshServer, url: str) -> None:
    wharf(daemon, "build", "--ssh", f"default={server.key}", url)
    left = [path for name in ("contexts", "downloads") for path in Path(daemon.root, "data/build", name).iterdir()]
    assert not left
