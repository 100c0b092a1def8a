"""Dockerfiles that cannot be built: what is said, and which lines are shown. Used by test_refused.py."""

from dataclasses import dataclass

BASE = "FROM busybox\n"


@dataclass(frozen=True)
class Refusal:
    """A build that fails with `words`; `line` is the first line that is at fault, 0 where none is."""

    name: str
    text: str
    words: str
    line: int = 0
    flags: tuple[str, ...] = ()


REFUSALS = (
    Refusal("an unknown instruction", BASE + "RUNN x", "unknown instruction: RUNN (did you mean RUN?)", 2),
    Refusal("no instruction", "# nothing\n", "file with no instructions"),
    Refusal("an instruction before FROM", "RUN true\nFROM busybox", "no build stage in current context", 1),
    Refusal("a line that is too long", BASE + "LABEL a=" + "x" * 66000,
            "dockerfile line greater than max allowed size of 65535", 2),
    Refusal("an unknown flag", BASE + "COPY --chwon=1 a b", "unknown flag: --chwon (did you mean chown?)", 2),
    Refusal("a flag twice", BASE + "COPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown", 2),
    Refusal("a directive twice", "# escape=`\n# escape=`\n" + BASE, "only one escape parser directive can be used"),
    Refusal("an escape that is none", "# escape=x\n" + BASE, "invalid escape token 'x' does not match ` or \\"),
    Refusal("a here-document without end", BASE + "RUN <<EOF\nx", "unterminated heredoc", 2),
    Refusal("an unset variable that must be set", BASE + "ENV a=\"${b:?is needed}\"", "b: is needed", 2),
    Refusal("an empty variable that must be set", BASE + "ARG b=\nENV a=${b:?}", "b: is not allowed to be empty", 3),
    Refusal("a modifier that is none", BASE + "ENV a=${b@x}", "unsupported modifier (@) in substitution", 2),
    Refusal("a substitution of nothing", BASE + "ENV a=${}", "bad substitution", 2),
    Refusal("a variable in COPY --from", BASE + "ARG s=0\nCOPY --from=$s / /x",
            "variable expansion is not supported for --from", 3),
    Refusal("a blank base", "ARG B\nFROM $B", "base name ($B) should not be blank", 2),
    Refusal("a bad stage name", "FROM busybox AS 1up", 'invalid name for build stage: "1up"', 1),
    Refusal("a target that is not there", BASE, 'target stage "nosuch" could not be found', 0, ("--target", "nosuch")),
    Refusal("a stage that copies from itself", "FROM busybox AS a\nCOPY --from=a /x /y",
            "circular dependency detected on stage: a", 2),
    Refusal("a device", BASE + "RUN --device=gpu true", "device", 2),
    Refusal("security.insecure that nobody allowed", BASE + "RUN --security=insecure true",
            "security.insecure is not allowed", 2),
    Refusal("network.host that nobody allowed", BASE + "RUN --network=host true", "network.host is not allowed", 2),
    Refusal("a network that is none", BASE + "RUN --network=mars true", "invalid network mode \"mars\"", 2),
    Refusal("a mount with an unknown key", BASE + "RUN --mount=nosuch=x true", "unexpected key 'nosuch' in", 2),
    Refusal("a mount with a mode that it has not", BASE + "RUN --mount=target=/x,mode=700 true",
            'mode not allowed for "bind" type mounts', 2),
    Refusal("from with a secret", BASE + "RUN --mount=type=secret,id=a,from=b true", "from", 2),
    Refusal("sharing of a bind", BASE + "RUN --mount=target=/x,sharing=locked true", "sharing", 2),
    Refusal("a secret that is needed", BASE + "RUN --mount=type=secret,id=nosuch,required true",
            "secret nosuch: not found", 2),
    Refusal("an agent that is needed", BASE + "RUN --mount=type=ssh,required true", "", 2),
    Refusal("several sources and no directory", BASE + "COPY f d /x",
            "When using COPY with more than one source file, the destination must be a directory and end with a /", 2),
    Refusal("a URL that is none", BASE + "ADD http://[x.git /x", "invalid URL 'http://[x.git'", 2),
    Refusal("a file that is not there", BASE + "\nCOPY nosuch /x", '"/nosuch": not found', 3),
    Refusal("a way out of the context", BASE + "COPY ../../../etc/passwd /x", '"/etc/passwd": not found', 2),
    Refusal("a link out of the context", BASE + "COPY out /x", "", 2),
    Refusal("a link to itself", BASE + "COPY loop /x", "", 2),
    Refusal("a way through a link out of the context", BASE + "COPY outdir/passwd /x", "", 2),
    Refusal("a file over a directory", BASE + "COPY f /etc/../f/\nCOPY d /f/f", "", 3),
    Refusal("an owner without a number", BASE + "COPY --chown=nobodyatall f /x",
            "can't find uid for user nobodyatall", 2),
    Refusal("a group without a number", BASE + "COPY --chown=0:nogroupatall f /x",
            "can't find gid for group nogroupatall", 2),
    Refusal("a mode that is none", BASE + "COPY --chmod=rwx f /x", "chmod", 2),
    Refusal("COPY of a URL", BASE + "COPY http://x/y /z", "source can't be a URL for COPY", 2),
    Refusal("COPY of a repository", BASE + "COPY https://x/y.git /z", "source can't be a git ref for COPY", 2),
    Refusal("a checksum of a file", BASE + "ADD --checksum=sha256:" + "0" * 64 + " f /z",
            "checksum requires HTTP(S) or Git sources", 2),
    Refusal("ADD from this host", BASE + "ADD http://127.0.0.1:1/x /z", "no public address", 2),
    Refusal("a blank volume", BASE + 'VOLUME ["/a", " "]', "VOLUME specified can not be an empty string", 2),
    Refusal("a blank name", BASE + "ENV =x", "", 2),
    Refusal("a user whom the image has not", BASE + "USER nobodyatall\nRUN true", "nobodyatall", 3),
    Refusal("a signal that is none", BASE + "STOPSIGNAL SIGNOT", "SIGNOT", 2),
    Refusal("SHELL without JSON", BASE + "SHELL /bin/sh -c", "SHELL requires the arguments to be in JSON form", 2),
    Refusal("a time that is too short", BASE + "HEALTHCHECK --interval=1us CMD true", "cannot be less than 1ms", 2),
    Refusal("a negative number of retries", BASE + "HEALTHCHECK --retries=-1 CMD true", "cannot be negative", 2),
    Refusal("NONE with arguments", BASE + "HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments", 2),
    Refusal("ONBUILD of ONBUILD", BASE + "ONBUILD ONBUILD RUN true", "Chaining ONBUILD via `ONBUILD ONBUILD`", 2),
    Refusal("ONBUILD of FROM", BASE + "ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger", 2),
    Refusal("a port that is none", BASE + "EXPOSE 80x", "80x", 2),
    Refusal("a step that fails", BASE + "RUN true\nRUN exit 7", "returned a non-zero code: 7", 3),
    Refusal("a program that is not there", BASE + 'RUN ["/no/such"]', "", 2),
    Refusal("findings that are errors", "# check=error=true\n" + BASE + "MAINTAINER me",
            "lint violation found for rules: MaintainerDeprecated"),
    Refusal("a check option that is none", "# check=nosuch=1\n" + BASE, "invalid check option"),
    Refusal("a time of the sources that is none", BASE, "SOURCE_DATE_EPOCH", 0,
            ("--build-arg", "SOURCE_DATE_EPOCH=soon")),
    Refusal("a variable that doubles", BASE + "ENV a=xxxxxxxx\n" + "ENV a=$a$a$a$a$a$a$a$a\n" * 9,
            "longer than 1048576 characters", 0),
    Refusal("an image name that is none", "FROM Bad:Name:x", "invalid reference format", 1),
    Refusal("an excluded file", BASE + "COPY hidden /x", "hidden", 2),
    Refusal("syntax of another front end", "FROM busybox\nINCLUDE x", "unknown instruction: INCLUDE", 2),
)  # fmt: skip
