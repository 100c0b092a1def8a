"""docker's grammar, command by command and flag by flag: what `wharf` has of it, and what it leaves out and why.

`tests/support/docker-flags.tsv` lists every command and flag of docker 28.5 outside Swarm, buildx and compose.
"""

import importlib

import pytest
from tests.support.docker_flags import Flag, docker_flags

from wharf.cli import main
from wharf.cli.flags import Command, HelpWanted
from wharf.cli.session import Session

_SWARM = "it belongs to Swarm, which is not there"
_PLUGINS = "there are no managed plugins: the server refuses them"
_NO_TRUST = "content trust (Notary) is not there: signatures are looked at by a policy, docs/flow-pull.md"
_NO_CHECKPOINTS = "checkpoints are experimental in docker and not there"
_BUILDKIT = "a build with it is buildx's: docker buildx build speaks to wharfd"
ABSENT = {
    "container start --checkpoint": _NO_CHECKPOINTS,
    "container start --checkpoint-dir": _NO_CHECKPOINTS,
    "start --checkpoint": _NO_CHECKPOINTS,
    "start --checkpoint-dir": _NO_CHECKPOINTS,
    **{f"checkpoint {verb}": _NO_CHECKPOINTS for verb in ("create", "ls", "rm")},
    **{
        f"trust {verb}": _NO_TRUST
        for verb in (
            "inspect",
            "key generate",
            "key load",
            "revoke",
            "sign",
            "signer add",
            "signer remove",
        )
    },
    "network inspect --verbose": _SWARM,
    "volume ls --cluster": _SWARM,
    "volume update": _SWARM,
    "update --kernel-memory": "the kernel has no such limit any more",
    **{f"plugin {verb}": _PLUGINS for verb in ("create", "install", "push", "set", "upgrade")},
}
# Under way: nobody is told a reason.
NOT_YET = {
    "image build": {
        "annotation", "attest", "builder", "call", "debug", "metadata-file", "provenance",
        "sbom",
    },
}  # fmt: skip
_ONE_BUILDER = "buildx's: there is one builder, the daemon's own"
ABSENT |= {f"builder prune --{flag}": _ONE_BUILDER for flag in ("builder", "debug", "verbose")}
ABSENT["builder du --debug"] = _ONE_BUILDER
# Flags of Swarm's volumes, a command that is there otherwise.
_CLUSTER_VOLUME = (
    "availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing", "topology-preferred",
    "topology-required", "type",
)  # fmt: skip


def rows() -> dict[str, dict[str, Flag]]:
    """command -> its flags by long name, of what are commands."""
    return {name: flags for name, flags in docker_flags().items() if name not in ("docker", "build (legacy)")}


def command_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Command | None:
    """The table of flags that a verb parses with; None when `wharf` has no such verb."""
    verb, noun = words[-1], words[0] if len(words) > 1 else ""
    place = main.NOUNS.get(noun, {}).get(verb) if noun else (main.VERBS.get(verb, ""), verb)
    if not place or not place[0]:
        return None
    function = getattr(
        importlib.import_module(f"wharf.cli.{place[0]}"), place[1] + ("_" if place[1] == "import" else "")
    )
    seen: list[Command] = []

    class _Enough(Exception):
        pass

    def parse(self: Command, args: list[str]) -> None:
        seen.append(self)
        raise _Enough

    with monkeypatch.context() as patch:
        patch.setattr(Command, "parse", parse)
        with pytest.raises(_Enough):
            function(Session(), [])
    return seen[0]


@pytest.mark.parametrize("name", rows())
def test_wharf_has_the_command_and_its_flags(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of(name.split(), monkeypatch)
    if command is None:
        assert name in ABSENT, f"wharf has no {name}, and nothing says why"
        return
    assert name not in ABSENT, f"{name}: listed as absent, but there"
    assert command.example, f"the help of {name} has no example"
    have = {flag[0] for flag in command.flags}
    absent = {key.rpartition(" --")[2] for key in ABSENT if key.startswith(f"{name} --")}
    absent |= set(_CLUSTER_VOLUME) if name == "volume create" else set()
    missing = set(rows()[name]) - have
    missing -= NOT_YET.get(name, set())
    assert missing - absent - {"help"} == set(), f"{name}: flags that wharf has not"
    assert not (absent | NOT_YET.get(name, set())) & have, f"{name}: listed as absent, but there"


@pytest.mark.parametrize("name", rows())
def test_flags_are_dockers_to_the_letter_and_in_the_help(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of(name.split(), monkeypatch)
    if command is None:
        return
    docker = rows()[name]
    ours = {flag[0]: flag for flag in command.flags if flag[0] in docker}
    assert {flag: docker[flag].short for flag in ours} == {flag: ours[flag][1] for flag in ours}
    assert {flag for flag in ours if docker[flag].value == (ours[flag][2] == "bool")} == set(), "takes a value or not"
    with pytest.raises(HelpWanted) as asked:
        command.parse(["--help"])
    text = str(asked.value)
    assert [flag for flag in ours if f"--{flag}" not in text] == []
    assert command.example and command.example in text


def test_what_is_absent_is_dockers() -> None:
    known = rows()
    for entry in ABSENT:
        name, dashes, flag = entry.partition(" --")
        assert name in known and (not dashes or flag in known[name]), entry
