"""`wharf build`: what it sends, what it shows, what it refuses before anything is sent."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd

WHARF = str(ROOT / ".venv/bin/wharf")


def wharf(daemon: Wharfd, *words: str, feed: bytes = b"", cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [WHARF, *words], env={**daemon.environment, "FROM_ENV": "e"}, input=feed, capture_output=True, cwd=cwd,
        check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_directory(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nARG A\nARG FROM_ENV\nCOPY . /c\nRUN echo $A $FROM_ENV; find /c | sort"
    )
    (tmp_path / ".dockerignore").write_text("*.o\nDockerfile\nid\n")
    (tmp_path / "a.o").write_text("")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b").write_text("b")
    code, out, err = wharf(
        daemon, "build", "-t", "w:1", "--build-arg", "A=x", "--build-arg", "FROM_ENV",
        "--iidfile", str(tmp_path / "id"), str(tmp_path),
    )  # fmt: skip
    assert code == 0, err
    assert "x e\n/c\n/c/.dockerignore\n/c/d\n/c/d/b\n" in out and "Successfully tagged w:1" in out
    image = daemon.docker("inspect", "--format", "{{.Id}}", "w:1").stdout.strip()
    assert (tmp_path / "id").read_text() == image
    assert (
        wharf(daemon, "build", "-q", "--build-arg", "A=x", "--build-arg", "FROM_ENV", str(tmp_path))[1] == image + "\n"
    )


def test_a_dockerfile_from_elsewhere(daemon: Wharfd, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("f")
    (tmp_path / "Other").write_text("FROM busybox\nCOPY f /f\nRUN ls / | tr '\\n' ' '")
    assert wharf(daemon, "build", "-f", str(tmp_path / "Other"), str(context))[0] == 0
    text = b"FROM busybox\nRUN echo by stdin"
    assert "by stdin" in wharf(daemon, "build", "-f", "-", str(context), feed=text)[1]
    assert "by stdin" in wharf(daemon, "build", "-", feed=text)[1]


def test_an_archive_on_standard_input(daemon: Wharfd) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("Dockerfile")
        text = b"FROM busybox\nRUN echo out of an archive"
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    assert "out of an archive" in wharf(daemon, "build", "-", feed=out.getvalue())[1]


def test_secrets_are_seen_and_do_not_stay(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=token,mode=0440,uid=5 cat /run/secrets/token | md5sum; "
        "stat -c '%a %u' /run/secrets/token\nRUN --mount=type=secret,id=v,env=V,required echo $V | md5sum"
    )
    code, out, err = wharf(
        daemon, "build", "-t", "secret", "--secret", f"id=token,src={tmp_path}/token", "--secret", "id=v,env=FROM_ENV",
        str(tmp_path),
    )  # fmt: skip
    assert code == 0, err
    assert "440 5" in out and hashlib.md5(b"s3cret").hexdigest() in out
    history = daemon.docker("history", "--no-trunc", "secret").stdout
    assert "s3cret" not in history
    assert daemon.docker("run", "--rm", "secret", "ls", "/run/secrets", check=False).stdout == ""


def test_a_wrong_dockerfile_is_shown(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n\nRUN true\nCOPPY a b\nRUN true")
    code, _, err = wharf(daemon, "build", str(tmp_path))
    assert code == 1
    assert "unknown instruction: COPPY (did you mean COPY?)" in err and "   4 | >>> COPPY a b" in err


def test_a_failing_step_gives_its_code(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 9")
    code, _, err = wharf(daemon, "build", str(tmp_path))
    assert (code, "returned a non-zero code: 9" in err) == (9, True)


def test_checks_without_a_build(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nMAINTAINER me")
    code, out, _ = wharf(daemon, "build", "--check", str(tmp_path))
    assert code == 1 and "MaintainerDeprecated" in out and "1 warning has" in out
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    assert wharf(daemon, "build", "--check", str(tmp_path))[:2] == (0, "Check complete, no warnings found.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("/no/such/directory",), "unable to prepare context"),
        (("-f", "nosuch", "."), "failed to read dockerfile"),
        (("--secret", "src=x", "."), "a secret needs an id"),
    ],
)
def test_what_is_refused_before_anything_is_sent(
    daemon: Wharfd, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox")
    code, _, err = wharf(daemon, "build", *words, cwd=tmp_path)
    assert code == 1 and message in err


def test_help(daemon: Wharfd) -> None:
    code, out, _ = wharf(daemon, "build", "--help")
    assert code == 0 and "wharf build -t mine:1 ." in out
