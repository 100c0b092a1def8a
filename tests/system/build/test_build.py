"""Builds by `docker build` without BuildKit: what ends up in the image, what the cache does, what is left behind."""

import contextlib
import json
import os
import sqlite3
import subprocess
import tarfile
from pathlib import Path

import docker
import pytest

from tests.support.fake_registry import tar_of
from tests.support.footprint import footprint, settled
from tests.support.wharfd import Wharfd, docker_client

EPOCH = 1704164645
"""When the test's busybox image was made: no file of a build is younger."""


class Context:
    """A directory with files in it, and `docker build` on it."""

    def __init__(self, daemon: Wharfd, root: Path) -> None:
        self.daemon, self.root = daemon, root

    def write(self, **files: str) -> "Context":
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self

    def build(self, dockerfile: str, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        path = self.root / "Dockerfile"
        if not path.exists() or path.read_text() != dockerfile:  # its time counts, too: it is in the archive
            path.write_text(dockerfile)
        environment = {**self.daemon.environment, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(
            [docker_client(), "build", "-t", "built", *flags, str(self.root)],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def inside(self, command: str, image: str = "built") -> str:
        return self.daemon.docker("run", "--rm", "--network", "none", image, "sh", "-c", command).stdout

    def config(self, image: str = "built") -> dict[str, object]:
        return json.loads(self.daemon.docker("inspect", image).stdout)[0]  # type: ignore[no-any-return]

    def files(self, image: str = "built") -> dict[str, tarfile.TarInfo]:
        """What the whole tree of an image holds, by its names in an export."""
        made = self.daemon.docker("create", image, "x").stdout.strip()
        path = self.root.parent / "export.tar"
        self.daemon.docker("export", "-o", str(path), made)
        self.daemon.docker("rm", made)
        with tarfile.open(path) as archive:
            return {item.name: item for item in archive}


@pytest.fixture
def context(daemon: Wharfd, tmp_path: Path) -> Context:
    root = tmp_path / "context"
    root.mkdir()
    return Context(daemon, root)


class TestRun:
    def test_what_a_step_writes_is_in_the_image(self, context: Context) -> None:
        context.build("FROM busybox\nRUN echo one > /a && mkdir /d && ln -s a /l\nRUN rm /a && echo two > /d/b")
        assert context.inside("ls /a 2>&1; readlink /l; cat /d/b") == "ls: /a: No such file or directory\na\ntwo\n"

    def test_environment_directory_user_and_hostname(self, context: Context) -> None:
        out = context.build(
            "FROM busybox\nARG A=arg\nENV E=env\nWORKDIR /w\nRUN echo me:x:77:77::/:/bin/sh >> /etc/passwd\n"
            "USER me\nRUN echo $A $E $(pwd) $(id -u) $(hostname)"
        ).stdout
        assert "arg env /w 77 buildkitsandbox" in out

    def test_arguments_do_not_stay(self, context: Context) -> None:
        context.build("FROM busybox\nARG A=1\nRUN env", "--build-arg", "A=2")
        assert "A=" not in context.inside("env | grep ^A || true")

    def test_a_failing_step_gives_its_code_and_no_image(self, context: Context, daemon: Wharfd) -> None:
        done = context.build("FROM busybox\nRUN exit 7", "-t", "failed", check=False)
        assert done.returncode == 7
        assert "The command '/bin/sh -c exit 7' returned a non-zero code: 7" in done.stderr
        assert daemon.docker("images", "-q", "failed").stdout == ""

    def test_a_script_runs_by_its_own_program(self, context: Context) -> None:
        out = context.build("FROM busybox\nRUN <<EOF\n#!/bin/busybox sh\necho by $0\nEOF").stdout
        assert "by /dev/pipes/EOF" in out

    def test_a_here_document_goes_to_the_shell(self, context: Context) -> None:
        out = context.build("FROM busybox\nENV V=1\nRUN cat <<EOF\nv is $V\nEOF").stdout
        assert "v is 1" in out

    def test_network_none(self, context: Context) -> None:
        out = context.build("FROM busybox\nRUN --network=none ls /sys/class/net").stdout
        assert "eth0" not in out

    def test_hosts_and_resolver_are_not_in_the_layer(self, context: Context) -> None:
        context.build("FROM scratch\nCOPY --from=busybox / /\nRUN true")
        files = context.files()
        assert files["etc/resolv.conf"].size == 0 if "etc/resolv.conf" in files else True

    def test_memory_limit_holds(self, context: Context) -> None:
        out = context.build(
            "FROM busybox\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max",
            "--memory", "64m",
        ).stdout  # fmt: skip
        assert "67108864" in out


class TestMounts:
    def test_a_cache_lasts_and_is_not_in_the_image(self, context: Context) -> None:
        text = "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c echo $N >> /c/log; cat /c/log | tr '\\n' ,"
        assert "1," in context.build(text, "--build-arg", "N=1").stdout
        assert "1,2," in context.build(text, "--build-arg", "N=2").stdout
        assert context.inside("ls -d /c 2>/dev/null || echo gone") == "gone\n"

    def test_a_bind_shows_the_context_and_keeps_nothing(self, context: Context) -> None:
        context.write(src__a="text")
        out = context.build(
            "FROM busybox\nRUN --mount=target=/ctx,source=src,rw cat /ctx/a; echo more > /ctx/b; ls /ctx"
        ).stdout
        assert "text" in out and "b" in out and not (context.root / "src/b").exists()
        assert context.inside("ls /ctx 2>/dev/null || true") == ""

    def test_a_bind_of_a_stage(self, context: Context) -> None:
        out = context.build(
            "FROM busybox AS one\nRUN mkdir /d && echo from one > /d/f\n"
            "FROM busybox\nRUN --mount=from=one,source=/d,target=/m cat /m/f; touch /m/x || echo read-only"
        ).stdout
        assert "from one" in out and "read-only" in out

    def test_a_tmpfs(self, context: Context) -> None:
        out = context.build(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1; echo x > /t/f"
        ).stdout
        assert " 1024 " in out and context.inside("ls -d /t 2>/dev/null || echo gone") == "gone\n"

    def test_a_secret_that_is_not_there(self, context: Context) -> None:
        assert (
            "absent"
            in context.build("FROM busybox\nRUN --mount=type=secret,id=s test -e /run/secrets/s || echo absent").stdout
        )
        done = context.build("FROM busybox\nRUN --mount=type=secret,id=s,required cat /run/secrets/s", check=False)
        assert done.returncode and "secret s: not found" in done.stderr


class TestCopy:
    def test_files_directories_and_names(self, context: Context) -> None:
        context.write(a="A", d__x="X", d__e__y="Y")
        context.build("FROM busybox\nCOPY a /one\nCOPY a /dir/\nCOPY d /tree\nCOPY d/x a /many/\nCOPY d .")
        assert context.inside("cat /one /dir/a /tree/x /tree/e/y /many/x /many/a /x") == "AAXYXAX"

    def test_a_new_directory_for_a_whole_context_is_open_to_all(self, context: Context) -> None:
        context.write(a="A").build("FROM busybox\nCOPY . /app\nUSER nobody\nRUN cat /app/a")
        assert context.files()["app"].mode == 0o755

    def test_owner_mode_and_time(self, context: Context) -> None:
        context.write(new="n", old="o")
        os.chmod(context.root / "new", 0o750)
        os.utime(context.root / "old", (1_000_000_000, 1_000_000_000))
        context.build(
            "FROM busybox\nCOPY new old /p/\nCOPY --chown=5:6 --chmod=u=rw,go=r new /q/n\nCOPY --chmod=4711 new /r"
        )
        files = context.files()
        assert (files["p/new"].mode, files["p/new"].uid, files["p/new"].mtime) == (0o750, 0, EPOCH)
        assert files["p/old"].mtime == 1_000_000_000
        assert (files["q/n"].mode, files["q/n"].uid, files["q/n"].gid) == (0o644, 5, 6)
        assert files["r"].mode == 0o4711 and files["p"].mode == 0o755

    def test_names_of_users_are_those_of_the_image(self, context: Context) -> None:
        context.write(f="")
        context.build("FROM busybox\nRUN echo me:x:78:79::/:/bin/sh >> /etc/passwd\nCOPY --chown=me f /f")
        assert context.inside("stat -c %u:%g /f") == "78:79\n"
        done = context.build("FROM busybox\nCOPY --chown=nobodyatall f /f", check=False)
        assert "can't find uid for user nobodyatall" in done.stderr

    def test_patterns_excludes_and_parents(self, context: Context) -> None:
        context.write(a_dot_c="1", b_dot_c="2", c_dot_h="3", d__e__f_dot_c="4")
        context.build(
            "FROM busybox\nCOPY *.c /c/\nCOPY --exclude=b* . /x/\nCOPY --parents d/e/*.c a.c /p/\n"
            "COPY --parents d/./e/f.c /q/\nCOPY nomatch* /n/"
        )
        assert context.inside("cd /c; ls; cd /x; ls | grep -c '^b'; ls /p /p/d/e /q/e") == (
            "a.c\nb.c\n0\n/p:\na.c\nd\n\n/p/d/e:\nf.c\n\n/q/e:\nf.c\n"
        )

    def test_a_missing_file(self, context: Context) -> None:
        done = context.build("FROM busybox\nCOPY nosuch /x", check=False)
        assert done.returncode == 1 and '"/nosuch": not found' in done.stderr

    def test_links_in_the_image_are_followed_inside_it(self, context: Context) -> None:
        context.write(f="text")
        context.build(
            "FROM busybox\nRUN mkdir /real && ln -s /real /link && ln -s ../../../../etc /out\n"
            "COPY f /link/f\nCOPY f /out/f"
        )
        assert context.inside("cat /real/f /etc/f; readlink /link") == "texttext/real\n"

    def test_links_in_the_context_stay_links_and_lead_nowhere(self, context: Context) -> None:
        (context.root / "d").mkdir()
        (context.root / "d" / "l").symlink_to("/etc/passwd")
        (context.root / "top").symlink_to("/etc/hostname")
        context.build("FROM busybox\nCOPY d /d")
        assert context.inside("readlink /d/l") == "/etc/passwd\n"
        assert context.build("FROM busybox\nCOPY top /t", check=False).returncode == 1

    def test_from_a_stage_keeps_owners(self, context: Context) -> None:
        context.build(
            "FROM busybox AS one\nRUN touch /f && chown 9:10 /f && mkdir -m 700 /s\n"
            "FROM busybox\nCOPY --from=one /f /s /t/"
        )
        files = context.files()
        assert (files["t/f"].uid, files["t/f"].gid) == (9, 10)

    def test_link_does_not_depend_on_what_is_below(self, context: Context) -> None:
        context.write(f="text")
        first = context.build("FROM busybox\nRUN echo 1 > /n\nCOPY --link f /a/f").stdout
        context.build("FROM busybox\nRUN echo 2 > /n\nCOPY --link f /a/f")
        assert first and context.inside("cat /n /a/f") == "2\ntext"

    def test_here_documents(self, context: Context) -> None:
        context.build(
            'FROM busybox\nENV V=v\nCOPY <<a <<"b" /d/\n1 $V\na\n2 $V\nb\n'
            "COPY --chmod=700 --chown=3 <<-c /e\n\t\tx\n\tc\n"
        )
        assert context.inside("cat /d/a /d/b /e; stat -c '%a %u' /e") == "1 v\n2 $V\nx\n700 3\n"

    def test_add_extracts_archives(self, context: Context) -> None:
        (context.root / "in").mkdir()
        (context.root / "in" / "f").write_text("packed")
        for kind in ("", "gz", "bz2", "xz"):
            with tarfile.open(context.root / f"a.tar{kind}", f"w:{kind}") as archive:  # type: ignore[call-overload]
                archive.add(context.root / "in", "in")
        context.write(plain="no archive")
        context.build(
            "FROM busybox\n" + "".join(f"ADD a.tar{kind} /x{kind}/\n" for kind in ("", "gz", "bz2", "xz"))
            + "ADD --unpack=false a.tar /kept/\nADD plain /plain\nCOPY a.tar /copied"
        )  # fmt: skip
        assert context.inside("cat /x/in/f /xgz/in/f /xbz2/in/f /xxz/in/f; ls /kept; cat /plain") == (
            "packed" * 4 + "a.tar\nno archive"
        )

    def test_an_ignored_file_does_not_come(self, context: Context) -> None:
        context.write(keep="k", drop__a="a", drop__b="b", _dot_dockerignore="drop\n!drop/b\n")
        context.build("FROM busybox\nCOPY . /c")
        assert context.inside("find /c -type f | sort") == "/c/.dockerignore\n/c/Dockerfile\n/c/drop/b\n/c/keep\n"


class TestImage:
    def test_configuration_and_history(self, context: Context) -> None:
        context.build(
            'FROM busybox\nLABEL a=b\nENV X=1\nEXPOSE 80\nVOLUME /v\nUSER 5\nWORKDIR /w\nSTOPSIGNAL SIGINT\n'
            'HEALTHCHECK --retries=2 CMD true\nENTRYPOINT ["e"]\nCMD ["c"]\nONBUILD RUN later',
            "--label", "extra=1",
        )  # fmt: skip
        config = context.config()["Config"]
        assert isinstance(config, dict)
        wanted = {
            "User": "5", "WorkingDir": "/w", "Entrypoint": ["e"], "Cmd": ["c"], "StopSignal": "SIGINT",
            "Labels": {"a": "b", "extra": "1"}, "OnBuild": ["RUN later"], "Volumes": {"/v": {}},
        }  # fmt: skip
        assert {key: config[key] for key in wanted} == wanted
        assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Retries": 2}

    def test_onbuild_runs_in_the_child(self, context: Context, daemon: Wharfd) -> None:
        context.build("FROM busybox\nONBUILD RUN echo was here > /mark", "-t", "parent")
        assert context.inside("ls /mark 2>/dev/null || echo none", "parent") == "none\n"
        context.build("FROM parent\nRUN true")
        assert context.inside("cat /mark") == "was here\n"

    def test_unused_stages_are_not_built(self, context: Context) -> None:
        context.build("FROM nosuch AS a\nRUN exit 1\nFROM busybox AS b\nRUN exit 2\nFROM busybox\nRUN true")

    def test_target(self, context: Context) -> None:
        context.build("FROM busybox AS one\nENV S=1\nFROM busybox\nENV S=2", "--target", "one")
        assert context.inside("echo $S") == "1\n"

    def test_names_and_the_same_image_again(self, context: Context, daemon: Wharfd) -> None:
        text = "FROM busybox\nRUN echo x > /x"
        context.build(text, "-t", "n:1", "-t", "n:2")
        first = context.config("n:1")["Id"]
        assert context.config("n:2")["Id"] == first
        context.build(text, "--no-cache")
        assert context.config()["Id"] == first

    @pytest.mark.parametrize(
        ("dockerfile", "words"),
        [
            ("FROM busybox\nRNN x", "dockerfile parse error on line 2: unknown instruction: RNN"),
            ("", "the Dockerfile (Dockerfile) cannot be empty"),
            ("# escape=z\nFROM busybox", "failed to parse Dockerfile: invalid escape token 'z' does not match ` or \\"),
            ("# nothing", "failed to parse Dockerfile: file with no instructions"),
            ("FROM busybox\nENV a", "failed to parse Dockerfile: ENV must have two arguments"),
            ("FROM busybox\nRUN <<EOF\nx", "failed to parse Dockerfile: unterminated heredoc"),
            ("FROM busybox\nENV a=${b:", "failed to process \"${b:\": syntax error: missing '}'"),
            ("FROM nosuchimage", "lookup registry-1.docker.io: no such host"),
            ("FROM busybox AS a\nCOPY --from=a /x /y", "circular dependency detected on stage: a"),
        ],
    )
    def test_what_cannot_be_built_is_said(self, context: Context, dockerfile: str, words: str) -> None:
        done = context.build(dockerfile, check=False)
        assert done.returncode == 1 and words in done.stderr

    @pytest.mark.parametrize("path", ["../X", "d/../../Dockerfile", ".."])
    def test_a_dockerfile_beside_the_context_is_refused(self, daemon: Wharfd, path: str) -> None:
        """The docker command line never asks for one: it sends the file under another name."""
        client = docker.APIClient(daemon.host, version="1.51")
        try:
            archive = tar_of({"Dockerfile": b"FROM busybox\n", "d/f": b"f"})
            answer = client._post(client._url("/build"), data=archive, params={"dockerfile": path})
        finally:
            client.close()
        words = {"message": f"forbidden path outside the build context: {path} ()"}
        assert (answer.status_code, answer.json()) == (500, words)

    def test_capabilities_of_a_program_stay_with_a_new_owner(self, context: Context, daemon: Wharfd) -> None:
        value = bytes.fromhex("0100000200200000000000000000000000000000")
        context.root.mkdir(exist_ok=True)
        with tarfile.open(context.root / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("program")
            member.mode = 0o755
            member.pax_headers = {"SCHILY.xattr.security.capability": value.decode("latin-1")}
            archive.addfile(member)
        context.build(
            "FROM scratch AS a\nADD a.tar /\nFROM scratch\nCOPY --from=a --chown=7:7 --chmod=4711 program /p\n"
        )
        found = daemon.docker("save", "-o", str(context.root / "out.tar"), "built")
        assert not found.stderr
        with tarfile.open(context.root / "out.tar") as saved:
            manifest = json.load(saved.extractfile("manifest.json"))  # type: ignore[arg-type]
            (layer,) = manifest[0]["Layers"]
            with tarfile.open(fileobj=saved.extractfile(layer), encoding="latin-1") as packed:
                entry = packed.getmember("p")
        assert (entry.uid, entry.gid, entry.mode) == (7, 7, 0o4711)
        assert entry.pax_headers["SCHILY.xattr.security.capability"].encode("latin-1") == value


class TestCache:
    def test_a_copy_of_unchanged_files_is_a_hit_whatever_their_times(self, context: Context) -> None:
        context.write(f="same")
        text = "FROM busybox\nCOPY f /f\nRUN cat /f"
        context.build(text)
        os.utime(context.root / "f", (1, 1))
        out = context.build(text).stdout
        assert out.count("Using cache") == 2
        context.write(f="other")
        assert "Using cache" not in context.build(text).stdout

    def test_a_changed_step_and_those_after_it_run(self, context: Context) -> None:
        context.build("FROM busybox\nRUN echo a > /a\nRUN echo b > /b")
        out = context.build("FROM busybox\nRUN echo a > /a\nRUN echo c > /b\nRUN true").stdout
        assert out.count("Using cache") == 1

    def test_prune_forgets_and_frees(self, context: Context, daemon: Wharfd) -> None:
        context.build("FROM busybox\nRUN head -c 100000 /dev/zero > /z")
        daemon.docker("rmi", "built")
        out = daemon.docker("builder", "prune", "-af").stdout
        assert "Total reclaimed space" in out and "Total reclaimed space: 0B" not in out
        assert "Using cache" not in context.build("FROM busybox\nRUN head -c 100000 /dev/zero > /z").stdout


def test_nothing_is_left_behind(context: Context, daemon: Wharfd) -> None:
    context.build("FROM busybox\nRUN true")
    before = footprint(daemon)
    context.write(f="f")
    context.build("FROM busybox\nCOPY f /f\nRUN --mount=target=/m true", check=False)
    context.build("FROM busybox\nRUN exit 1", check=False)
    assert daemon.docker("ps", "-aq").stdout == ""
    daemon.docker("rmi", "-f", "built", check=False)
    daemon.docker("builder", "prune", "-af")
    after = settled(daemon, (before,))
    grown = {key for key in after if after[key] > before.get(key, 0) and not key.startswith(("file:", "nft"))}
    assert not grown


def test_a_step_leaves_no_row_behind(context: Context, daemon: Wharfd) -> None:
    """What stands beneath a step is no image, whose last use somebody would ask for."""
    query = "SELECT key FROM settings WHERE key LIKE 'image-used:%'"
    with contextlib.closing(sqlite3.connect(f"file:{daemon.root}/data/wharf.db?mode=ro", uri=True)) as database:
        before = set(database.execute(query))
        context.build("FROM busybox\nRUN echo rows > /rows\nRUN cat /rows")
        assert set(database.execute(query)) == before


def test_a_daemon_killed_in_mid_build_leaves_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Wharfd() as daemon:
        daemon.load_busybox()
        (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo done > /done\nRUN echo reached; sleep 1000")
        environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
        client = subprocess.Popen(
            [docker_client(), "build", "-t", "cut", str(tmp_path)], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert client.stdout is not None
        assert any("reached" in line for line in client.stdout)
        daemon.kill()
        client.stdout.close()
        assert client.wait(30) != 0
        daemon.start()
        assert daemon.docker("ps", "-aq").stdout == "" and daemon.docker("images", "-q", "cut").stdout == ""
        left = [
            path
            for name in ("contexts", "steps", "places")
            for path in Path(daemon.root, "data/build").glob(f"{name}/*")
        ]
        assert not left
        (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo done > /done")
        done = subprocess.run(
            [docker_client(), "build", str(tmp_path)], env=environment, capture_output=True, text=True, check=True
        )
        assert "Using cache" in done.stdout
