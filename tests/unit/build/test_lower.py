"""Dockerfiles to graphs, without an engine."""

import pytest

from wharf.build.graph import (
    CopyFiles,
    Exec,
    Files,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    MountKind,
    Vertex,
    walk,
)
from wharf.build.lower import Target, lower
from wharf.build.options import BaseImage, LowerOptions, NamedContext
from wharf.dockerfile.parse import parse_dockerfile
from wharf.dockerfile.position import DockerfileError
from wharf.errors import Invalid, NotFound
from wharf.spec.image import History, Image, ImageConfig
from wharf.spec.platform import Platform

BASE = Image(
    ImageConfig(env=("PATH=/bin", "B=base"), cmd=("sh",), on_build=()),
    (),
    Platform(),
    created="2024-05-06T07:08:09Z",
    history=(History(created_by="base"),),
)
PARENT = Image(ImageConfig(on_build=("RUN trigger", "ENV T=1")), (), Platform())


class Images:
    """Knows `base` and `parent`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def image(self, reference: str, platform: Platform) -> BaseImage:
        self.asked.append(reference)
        found = {"base": BASE, "parent": PARENT}.get(reference.partition(":")[0])
        if found is None:
            raise NotFound(f"{reference}: not found")
        return BaseImage(reference, f"sha256:{reference}", found)


def low(text: str, images: Images | None = None, **options: object) -> Target:
    return lower(parse_dockerfile(text), LowerOptions(**options), images or Images())  # type: ignore[arg-type]


def steps(target: Target) -> list[Vertex]:
    assert target.vertex is not None
    return list(walk(target.vertex))


def run_of(target: Target) -> Exec:
    assert target.vertex is not None and isinstance(target.vertex.op, Exec)
    return target.vertex.op


def copy_of(target: Target) -> CopyFiles:
    assert target.vertex is not None and isinstance(target.vertex.op, Files)
    action = target.vertex.op.actions[0]
    assert isinstance(action, CopyFiles)
    return action


def env_of(target: Target) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in run_of(target).env)


def history(target: Target) -> list[str]:
    return [line.created_by for line in target.image.history]


class TestFrom:
    def test_scratch_is_an_empty_tree_with_a_path(self) -> None:
        target = low("FROM scratch\nLABEL a=b")
        assert target.vertex is None and target.base is None and target.epoch == 0
        assert target.image.config.working_dir == "/" and target.image.config.env[0].startswith("PATH=")

    def test_a_base_gives_its_config_and_history(self) -> None:
        target = low("FROM base\nENV X=1")
        assert target.image.config.env == ("PATH=/bin", "B=base", "X=1") and target.image.config.cmd == ("sh",)
        assert history(target) == ["base", "ENV X=1"]
        assert target.epoch == 1714979289

    def test_only_reachable_stages_are_looked_at(self) -> None:
        images = Images()
        low("FROM nosuch AS unused\nRUN x\nFROM base\nRUN y", images)
        assert images.asked == ["base"]

    def test_a_stage_shadows_an_image(self) -> None:
        target = low("FROM base AS alpine\nENV S=1\nFROM alpine\nRUN x")
        assert env_of(target)["S"] == "1" and len(steps(target)) == 2

    @pytest.mark.parametrize(("wanted", "name"), [("one", "one"), ("ONE", "one"), ("0", "one"), ("", "two")])
    def test_the_target_by_name_or_number(self, wanted: str, name: str) -> None:
        target = low("FROM base AS one\nRUN one\nFROM base AS two\nRUN two", target=wanted)
        assert run_of(target).argv[-1] == name

    def test_an_unknown_target(self) -> None:
        with pytest.raises(Invalid, match=r'target stage "onee" could not be found \(did you mean one\?\)'):
            low("FROM base AS one", target="onee")

    def test_arguments_in_from(self) -> None:
        images = Images()
        low("ARG V=1\nARG N=base\nFROM $N:${V}", images, build_args={"V": "2"})
        assert images.asked == ["base:2"]

    def test_a_blank_base_is_refused(self) -> None:
        with pytest.raises(DockerfileError, match=r"base name \(\$N\) should not be blank"):
            low("FROM $N")

    def test_a_missing_image(self) -> None:
        with pytest.raises(NotFound, match="nosuch: not found"):
            low("FROM nosuch")

    def test_platform_by_argument(self) -> None:
        target = low("FROM --platform=$BUILDPLATFORM base\nRUN x", platform=Platform("linux", "arm64"))
        assert target.vertex is not None and target.vertex.platform == Platform()

    def test_onbuild_runs_after_from_and_is_not_handed_on(self) -> None:
        target = low("FROM parent\nRUN own")
        ops = [vertex.op for vertex in steps(target)]
        assert [op.argv[-1] for op in ops if isinstance(op, Exec)] == ["trigger", "own"]
        assert target.image.config.on_build == () and env_of(target)["T"] == "1"

    def test_a_named_context_overrides_an_image(self) -> None:
        images = Images()
        low("FROM other", images, contexts={"other": NamedContext(image="base")})
        assert images.asked == ["base"]

    def test_ten_thousand_stages(self) -> None:
        text = "FROM base AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nCOPY --from=s{n} /a /b\n" for n in range(2000))
        assert low(text).vertex is not None


class TestArguments:
    def test_a_default_a_given_and_a_global_one(self) -> None:
        text = "ARG G=global\nFROM base\nARG A=default\nARG G\nARG U\nRUN x"
        assert {k: v for k, v in env_of(low(text)).items() if k in "AGU"} == {"A": "default", "G": "global"}
        assert env_of(low(text, build_args={"A": "given", "U": "1"}))["A"] == "given"

    def test_a_global_one_is_not_seen_without_its_line(self) -> None:
        assert "G" not in env_of(low("ARG G=1\nFROM base\nRUN x"))

    def test_env_and_arg_of_one_name(self) -> None:
        assert env_of(low("FROM base\nARG A=1\nENV A=2\nRUN x"))["A"] == "2"

    def test_env_sees_values_from_before_its_line(self) -> None:
        config = low("FROM base\nENV a=hello\nENV a=bye d=$a").image.config
        assert config.env[-2:] == ("a=bye", "d=hello")

    def test_history_tells_the_arguments(self) -> None:
        target = low("FROM base\nARG A=1\nARG C\nRUN echo")
        assert history(target)[1:] == ["ARG A=1", "ARG C", "RUN |2 A=1 C= /bin/sh -c echo # buildkit"]

    def test_platform_arguments_need_their_line(self) -> None:
        assert "TARGETARCH" not in env_of(low("FROM base\nRUN x"))
        assert env_of(low("FROM base\nARG TARGETARCH\nARG TARGETSTAGE\nRUN x"))["TARGETARCH"] == "amd64"

    def test_proxies_are_given_but_are_no_part_of_the_step(self) -> None:
        plain = low("FROM base\nRUN x")
        with_proxy = low("FROM base\nRUN x", build_args={"http_proxy": "http://p"})
        assert run_of(with_proxy).unkeyed_env == ("http_proxy=http://p",)
        assert plain.vertex and with_proxy.vertex and plain.vertex.digest == with_proxy.vertex.digest

    def test_unused_ones_are_told(self) -> None:
        assert low("FROM base\nARG A", build_args={"A": "1", "X": "1", "HTTP_PROXY": ""}).unused_args == ("X",)

    def test_the_epoch(self) -> None:
        assert low("FROM base", build_args={"SOURCE_DATE_EPOCH": "42"}).epoch == 42
        with pytest.raises(Invalid, match="invalid SOURCE_DATE_EPOCH"):
            low("FROM base", build_args={"SOURCE_DATE_EPOCH": "soon"})

    def test_undefined_variables_are_told(self) -> None:
        findings = low("FROM base\nENV ABC=1\nENV X=$ABD").checks.findings
        assert [finding.message for finding in findings] == ["Usage of undefined variable '$ABD' (did you mean $ABC?)"]


class TestRun:
    def test_shell_and_exec_form(self) -> None:
        assert run_of(low("FROM base\nRUN a b")).argv == ("/bin/sh", "-c", "a b")
        assert run_of(low('FROM base\nRUN ["a", "b"]')).argv == ("a", "b")
        assert run_of(low('FROM base\nSHELL ["/x", "-e"]\nRUN a')).argv == ("/x", "-e", "a")

    def test_where_and_who(self) -> None:
        op = run_of(low("FROM base\nWORKDIR /w\nUSER u:g\nRUN x"))
        assert (op.cwd, op.user, op.hostname) == ("/w", "u:g", "buildkitsandbox")

    def test_a_script(self) -> None:
        op = run_of(low("FROM base\nRUN <<EOF\n#!/bin/x\nhi\nEOF"))
        assert op.argv == ("/bin/sh", "-c", "/dev/pipes/EOF") and op.files == (("EOF", "#!/bin/x\nhi\n"),)

    def test_mounts(self) -> None:
        text = (
            "FROM base AS other\nFROM base\nWORKDIR /w\n"
            "RUN --mount=target=src,rw --mount=type=cache,target=/c,sharing=locked "
            "--mount=from=other,source=/etc,target=/o --mount=type=tmpfs,target=/t,size=1m "
            "--mount=type=secret,id=s,env=S --mount=type=ssh x"
        )
        mounts = run_of(low(text)).mounts
        assert [mount.kind for mount in mounts] == [
            MountKind.BIND, MountKind.CACHE, MountKind.BIND, MountKind.TMPFS, MountKind.SECRET, MountKind.SSH,
        ]  # fmt: skip
        assert (mounts[0].target, mounts[0].read_only, mounts[0].input) == ("/w/src", False, 1)
        assert (mounts[1].id, mounts[1].sharing, mounts[1].input) == ("//c", "locked", -1)
        assert (mounts[2].source, mounts[2].input, mounts[2].read_only) == ("/etc", 2, True)
        assert mounts[3].size == 1 << 20
        assert (mounts[4].target, mounts[4].env) == ("", "S")
        assert mounts[5].target == "/run/buildkit/ssh_agent.5"

    @pytest.mark.parametrize(
        ("flag", "words"),
        [
            ("--mount=type=cache,target=/", "invalid mount target"),
            ("--mount=type=what,target=/a", "unsupported mount type"),
            ("--mount=type=bind,target=/a,mode=1", 'mode not allowed for "bind" type mounts'),
            ("--mount=type=cache,target=/a,nope=1", "unexpected key 'nope' in 'nope=1'"),
            ("--mount=type=secret,id=a,source=b", "both source and id can't be set"),
            ("--mount=type=bind,target=/a,required=true", "unexpected key 'required'"),
            ("--mount=type=bind,target=/a,sharing=locked", "invalid cache sharing set"),
            ("--mount=type=bind,target", "must be a key=value pair"),
        ],
    )
    def test_bad_mounts(self, flag: str, words: str) -> None:
        with pytest.raises(DockerfileError) as error:
            low(f"FROM base\nRUN {flag} x")
        assert words in error.value.message and error.value.lines is not None

    @pytest.mark.parametrize("flag", ["--network=host", "--security=insecure"])
    def test_what_must_be_allowed(self, flag: str) -> None:
        with pytest.raises(DockerfileError, match="is not allowed"):
            low(f"FROM base\nRUN {flag} x")
        low(f"FROM base\nRUN {flag} x", allow=frozenset({"network.host", "security.insecure"}))


class TestCopy:
    def test_paths_are_of_the_context_and_stay_in_it(self) -> None:
        target = low("FROM base\nWORKDIR /w\nCOPY ../../a b/../c d/")
        action = copy_of(target)
        assert (action.sources, action.target, action.zero_owner) == (("/a",), "/w/d/", True)
        assert target.vertex is not None and target.vertex.inputs[1] is not None
        assert isinstance(target.vertex.inputs[1].op, LocalSource)

    def test_history(self) -> None:
        assert history(low("FROM base\nCOPY --chown=1:2 --chmod=755 a b /c/"))[-1] == (
            "COPY --chown=1:2 --chmod=755 a b /c/ # buildkit"
        )

    def test_several_sources_need_a_directory(self) -> None:
        with pytest.raises(DockerfileError, match="the destination must be a directory and end with a /"):
            low("FROM base\nCOPY a b c")

    def test_from_a_stage_an_index_an_image(self) -> None:
        by_name = low("FROM base AS s\nRUN x\nFROM scratch\nCOPY --from=s /a /")
        by_index = low("FROM base AS s\nRUN x\nFROM scratch\nCOPY --from=0 /a /")
        assert by_name.vertex and by_index.vertex and by_name.vertex.digest == by_index.vertex.digest
        image = low("FROM scratch\nCOPY --from=base /a /")
        assert image.vertex and image.vertex.inputs[1] and isinstance(image.vertex.inputs[1].op, ImageSource)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("FROM base AS a\nCOPY --from=a /x /y", "circular dependency detected on stage: a"),
            ("FROM base AS a\nCOPY --from=b /x /y\nFROM base AS b", 'cannot copy from stage "b"'),
            ("FROM base\nARG s\nCOPY --from=$s /x /y", "variable expansion is not supported for --from"),
            ("FROM base\nCOPY --from=7 /x /y", "invalid stage index 7"),
            ("FROM base\nCOPY http://h/f /", "source can't be a URL for COPY"),
            ("FROM base\nCOPY https://h/r.git /", "source can't be a git ref for COPY"),
            ("FROM base\nCOPY --chmod=999 a /", "it should be octal string and between 0 and 07777"),
            ("FROM base\nADD --checksum=sha256:0 a /", "checksum requires HTTP(S) or Git sources"),
        ],
    )
    def test_what_is_refused(self, text: str, words: str) -> None:
        with pytest.raises(DockerfileError) as error:
            low(text, target="a" if "AS a" in text else "")
        assert words in error.value.message

    def test_add_from_elsewhere(self) -> None:
        http = low("FROM base\nADD http://h/d/f.tar?x=1 /t/")
        assert http.vertex and http.vertex.inputs[1]
        assert http.vertex.inputs[1].op == HttpSource("http://h/d/f.tar?x=1", "f.tar")
        assert copy_of(http).unpack is False
        git = low("FROM base\nADD https://h/r.git#v1:sub /t/")
        assert git.vertex and git.vertex.inputs[1]
        assert git.vertex.inputs[1].op == GitSource("https://h/r.git", "v1", "sub")
        assert copy_of(low("FROM base\nADD a.tar /t/")).unpack is True
        assert copy_of(low("FROM base\nADD --unpack=false a.tar /t/")).unpack is False

    def test_an_ignored_file_is_told_when_asked(self) -> None:
        findings = low("# check=experimental=all\nFROM base\nCOPY a.o /", ignore=("*.o",)).checks.findings
        assert findings[0].message == 'Attempting to Copy file "a.o" that is excluded by .dockerignore'


class TestMeta:
    def test_entrypoint_drops_the_inherited_command(self) -> None:
        assert low('FROM base\nENTRYPOINT ["x"]').image.config.cmd is None
        assert low('FROM base\nCMD ["c"]\nENTRYPOINT ["x"]').image.config.cmd == ("c",)

    def test_workdir_makes_a_layer_but_for_the_root(self) -> None:
        target = low("FROM base\nWORKDIR /a\nWORKDIR b")
        assert target.image.config.working_dir == "/a/b"
        assert [line.empty_layer for line in target.image.history[1:]] == [False, False]
        assert low("FROM base\nWORKDIR /").image.history[-1].empty_layer

    def test_history_of_the_others(self) -> None:
        text = (
            'FROM base\nCMD ["a", "b"]\nENTRYPOINT x\nEXPOSE 80 53/udp\nVOLUME /v\nUSER u\nSTOPSIGNAL SIGINT\n'
            'SHELL ["/x", "-c"]\nHEALTHCHECK --interval=90s CMD t\nLABEL a=b c="d e"\nONBUILD RUN x'
        )
        assert history(low(text))[1:] == [
            'CMD ["a" "b"]', 'ENTRYPOINT ["/bin/sh" "-c" "x"]', "EXPOSE [53/udp 80/tcp]", "VOLUME [/v]", "USER u",
            "STOPSIGNAL SIGINT", "SHELL [/x -c]",
            "HEALTHCHECK &{[\"CMD-SHELL\" \"t\"] \"1m30s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
            "LABEL a=b c=d e",
        ]  # fmt: skip

    def test_labels_of_the_build_are_added(self) -> None:
        assert low("FROM base\nLABEL a=1", labels={"b": "2"}).image.config.labels == {"a": "1", "b": "2"}

    def test_titles_count_the_steps(self) -> None:
        assert [vertex.title for vertex in steps(low("FROM base\nWORKDIR /w\nRUN x"))] == [
            "[1/3] FROM base", "[2/3] WORKDIR /w", "[3/3] RUN x",
        ]  # fmt: skip
