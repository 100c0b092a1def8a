"""`--change`: the instructions that commit and import take."""

import re

import pytest

from wharf.dockerfile.changes import apply_changes
from wharf.errors import Invalid
from wharf.spec.image import HealthConfig, ImageConfig

BASE = ImageConfig(env=("PATH=/bin", "A=1"), cmd=("sh",), labels={"x": "y"}, working_dir="/srv")


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ('CMD ["a", "b c"]', "cmd", ("a", "b c")),
        ("CMD echo $A", "cmd", ("/bin/sh", "-c", "echo $A")),
        ('entrypoint ["/x"]', "entrypoint", ("/x",)),
        ("ENV A=2 B=\"two words\" C=it\\'s D='$A'", "env", ("PATH=/bin", "A=2", "B=two words", "C=it's", "D=$A")),
        ("ENV PATH $PATH:/opt/bin", "env", ("PATH=/bin:/opt/bin", "A=1")),
        ("ENV Z=${Q:-none}-${A:+set}", "env", ("PATH=/bin", "A=1", "Z=none-set")),
        ("EXPOSE 80 443/tcp 53/UDP 8000-8002", "exposed_ports",
         ("443/tcp", "53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp")),
        ('LABEL a=b "c d"="e f"', "labels", {"x": "y", "a": "b", "c d": "e f"}),
        ("ONBUILD RUN make", "on_build", ("RUN make",)),
        ("STOPSIGNAL SIGUSR1", "stop_signal", "SIGUSR1"),
        ("USER $A:users", "user", "1:users"),
        ('VOLUME ["/b", "/a"]', "volumes", ("/a", "/b")),
        ("VOLUME /b /c", "volumes", ("/b", "/c")),
        ("WORKDIR data/../x", "working_dir", "/srv/x"),
        ("WORKDIR /abs", "working_dir", "/abs"),
        ("HEALTHCHECK --interval=1m30s --retries=3 CMD curl localhost", "healthcheck",
         HealthConfig(["CMD-SHELL", "curl localhost"], interval=90_000_000_000, retries=3)),
        ("HEALTHCHECK NONE", "healthcheck", HealthConfig(["NONE"])),
    ],
)  # fmt: skip
def test_a_change_sets_its_field(change: str, field: str, value: object) -> None:
    assert getattr(apply_changes(BASE, [change]), field) == value


def test_a_new_entrypoint_drops_the_command_unless_it_was_set_before() -> None:
    assert apply_changes(BASE, ['ENTRYPOINT ["/e"]']).cmd is None
    assert apply_changes(BASE, ['CMD ["c"]', 'ENTRYPOINT ["/e"]']).cmd == ("c",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("RUN make", "RUN is not a valid change command"),
        ("FROM x", "FROM is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", "can't find = in"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("EXPOSE 5-3", "invalid containerPort"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL 99", "invalid signal: 99"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK --interval=1us CMD x", "cannot be less than 1ms"),
        ("HEALTHCHECK --what=1 CMD x", "unknown flag: --what"),
        ("HEALTHCHECK maybe", "Unknown type"),
        ("ENV A=${B:?needed}", "B: needed"),
        ("ENV A=${B=y}", "unsupported modifier"),
        ('SHELL ["a"]', "SHELL is not a valid change command"),
        ("ENVY A=1", "ENVY is not a valid change command"),
        ('ENV A="x', "double-quote"),
        ("ENV A=" + "x" * 70000, "greater than max allowed size"),
        ("VOLUME []", "VOLUME requires at least one argument"),
    ],
)
def test_a_bad_change_is_refused_by_name(change: str, words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)):
        apply_changes(BASE, [change])
