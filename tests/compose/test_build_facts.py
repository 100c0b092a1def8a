"""Every attribute of `build` by what it does to an image: `build/facts.tsv` has a row for each, one build makes all.

How a row is asked: `in` a command in a container of the service's image; `same` and `differs` one whose answer is, or
is not, that of another service's image; `outside` a command in the engine's network; `image` what the engine says of
it.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.test_facts import Fact, facts
from tests.compose.tools import Place
from tests.support.wharfd import ROOT, Wharfd

BUILD = Path(__file__).parent / "build"
_MARK = "=====fact====="


class Images:
    """The project's images, built; answers of their containers are fetched once."""

    def __init__(self, daemon: Wharfd, made: Path) -> None:
        self._daemon = daemon
        self.name = f"build{os.getpid()}"
        self.environment = {
            **daemon.environment, "COMPOSE_PROJECT_NAME": self.name, "NAME": self.name, "FROM_SHELL": "shell",
            "SECRET_VARIABLE": "hush", "MADE": str(made), "KEY": f"{made}/key", "WHARF": str(ROOT / ".venv/bin/wharf"),
        }  # fmt: skip
        self._answers: dict[str, dict[str, str]] = {}

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A command of this host, in the engine's network and the project's directory."""
        command = [*self._daemon.enter, "sh", "-c", script]
        return subprocess.run(command, cwd=BUILD, env=self.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)  # fmt: skip

    def inside(self, service: str, script: str) -> str:
        """What a command in a container of a service's image prints."""
        return self._daemon.docker(
            "run", "--rm", "--network", "none", f"{self.name}-{service}", "sh", "-c", script
        ).stdout

    def _told(self, fact: Fact) -> str:
        if fact.service not in self._answers:
            rows = [row for row in facts(BUILD) if row.service == fact.service and row.how == "in"]
            out = self.inside(fact.service, "".join(f"echo {_MARK}; ( {row.what} )\n" for row in rows))
            parts = out.split(f"{_MARK}\n")[1:]
            assert len(parts) == len(rows), out
            self._answers[fact.service] = {row.attribute: part for row, part in zip(rows, parts, strict=True)}
        return self._answers[fact.service][fact.attribute]

    def answer(self, fact: Fact) -> str:
        """What a row asks."""
        if fact.how == "in":
            return self._told(fact)
        if fact.how in ("same", "differs"):
            own, other = (self.inside(service, fact.what) for service in (fact.service, fact.expected))
            return fact.expected if own and (own == other) == (fact.how == "same") else f"{own} beside {other}"
        if fact.how == "outside":
            return self.shell(fact.what).stdout
        assert fact.how == "image"
        (found,) = json.loads(self._daemon.docker("image", "inspect", f"{self.name}-{fact.service}").stdout)
        return str(eval(f"c{fact.what}", {"c": found}))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """Built once, by an engine that lets builds be privileged."""
    made = tmp_path_factory.mktemp("build")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", made / "key"], check=True)
    (made / "daemon.json").write_text('{"builder": {"entitlements": {"security-insecure": true}}}')
    with Wharfd("--config-file", f"{made}/daemon.json") as daemon:
        daemon.load_busybox()
        daemon.environment["XDG_CACHE_HOME"] = f"{made}/of-the-client"
        images = Images(daemon, made)
        out = images.shell("$WHARF compose build")
        assert out.returncode == 0, out.stdout + out.stderr + daemon.log()
        yield images


@pytest.mark.parametrize("fact", facts(BUILD), ids=lambda fact: fact.attribute)
def test_an_attribute_of_build_has_its_effect(images: Images, fact: Fact) -> None:
    answer = images.answer(fact).strip()
    assert re.fullmatch(fact.expected, answer, re.DOTALL), f"{fact.what}: {answer!r} is not {fact.expected!r}"


def test_cache_from_brings_the_steps_of_another_builder(images: Images) -> None:
    """What was built goes with this engine's cache: only what cache_to wrote can know the number that was drawn."""
    drawn = images.inside("cached", "cat /of-cache")
    out = images.shell("$WHARF rmi $NAME-cached && $WHARF builder prune -af && $WHARF compose build from-cache")
    assert out.returncode == 0, out.stderr
    assert images.inside("from-cache", "cat /of-cache") == drawn


# name: (what the service's `build` has, what is said)
REFUSED = {
    "dockerfile_inline": ("dockerfile: a, dockerfile_inline: FROM busybox", "mutualy exclusive dockerfile and"),
    "privileged": (
        "dockerfile_inline: FROM busybox, privileged: true",
        "granting entitlement security.insecure is not allowed by build daemon configuration",
    ),
    "entitlements": ("dockerfile_inline: FROM busybox, entitlements: [any]", "unknown entitlement key any"),
    "provenance": ("dockerfile_inline: FROM busybox, provenance: mode=max", "Attestation is not supported"),
    "sbom": ("dockerfile_inline: FROM busybox, sbom: true", "Attestation is not supported"),
    "ssh": ("dockerfile_inline: FROM busybox, ssh: [default=/no/such/agent]", "/no/such/agent"),
    "additional_contexts": (
        "dockerfile_inline: FROM busybox, additional_contexts: {a: ./gone}", "gone: not a directory",
    ),
    "additional_contexts.service": (
        "dockerfile_inline: FROM busybox, additional_contexts: {a: 'service:gone'}", "gone",
    ),
    "target": ("dockerfile_inline: FROM busybox, target: gone", 'target stage "gone" could not be found'),
    "platforms": (
        "dockerfile_inline: FROM busybox, platforms: [linux/arm64]}, platform: linux/amd64, labels: {a: b",
        'service.build.platforms MUST include service.platform "linux/amd64"',
    ),
    "context": ("context: ./gone", "gone"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_is_said(daemon: Wharfd, tmp_path: Path, name: str) -> None:
    """By an engine whose builds may not be privileged."""
    place = Place(daemon, tmp_path)
    build, said = REFUSED[name]
    place.write(f"services: {{web: {{build: {{{build}}}}}}}\n")
    out = place.compose("build", status=None)
    assert out.returncode != 0 and said in out.stderr and "Traceback" not in out.stderr, out.stdout + out.stderr
    assert len(out.stderr.splitlines()) <= 2, out.stderr
