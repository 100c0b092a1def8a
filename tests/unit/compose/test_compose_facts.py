"""The table of Compose's attributes has a row for each that the schema has, or a reason why it has none."""

import ast
import json
from functools import cache
from pathlib import Path

import pytest
from tests.compose.cases import cases
from tests.compose.test_bad_input import BAD
from tests.compose.test_both import BOTH
from tests.compose.test_build_facts import BUILD, REFUSED
from tests.compose.test_facts import facts

import wharf.compose.schema as schema

_SCHEMA = json.loads(Path(schema.__file__).with_name("compose-spec.json").read_text())
ELSEWHERE = {
    "attach": "tests/compose/test_flow_compose.py: what a service without it writes is not shown",
    "build": "its attributes have a table of their own, see below",
    "credential_spec": "Windows only: refused nowhere, without an effect",
    "cpu_rt_period": "needs a kernel with real-time group scheduling",
    "cpu_rt_runtime": "needs a kernel with real-time group scheduling",
    "develop": "tests/compose/test_flow_compose.py",
    "gpus": "tests/compose/test_flow_compose.py: refused as Docker does where no driver is",
    "models": "tests/compose/test_flow_compose.py, with a program in the place of Docker's plugin",
    "pre_stop": "tests/compose/test_flow_compose.py",
    "provider": "tests/compose/test_flow_compose.py",
    "pull_refresh_after": "of the schema only: docker compose 2.40 ignores it",
    "storage_opt": "needs quotas of the file system",
}


def test_every_attribute_of_a_service_is_tested_by_its_effect() -> None:
    there = {fact.attribute.split(".")[0] for fact in facts()}
    missing = set(_SCHEMA["definitions"]["service"]["properties"]) - there - set(ELSEWHERE)
    assert not missing


def test_every_attribute_of_a_health_check_and_of_deploy_is_tested() -> None:
    there = {fact.attribute for fact in facts()}
    for definition, prefix in (("healthcheck", "healthcheck"), ("deployment", "deploy")):
        for name in _SCHEMA["definitions"][definition]["properties"]:
            assert f"{prefix}.{name}" in there, name


BUILD_ELSEWHERE = {
    "cache_from": "tests/compose/test_build_facts.py: with another builder's steps",
    "isolation": "Windows only: docker compose does not hand it on, and the table's project has it",
    "pull": "tests/compose/test_registry.py: with a base that has changed there",
}


def test_every_attribute_of_a_build_is_tested_by_its_effect() -> None:
    """By a row of the table, or by being refused where there is no effect yet."""
    properties = _SCHEMA["definitions"]["service"]["properties"]["build"]["oneOf"][1]["properties"]
    there = {fact.attribute.split(".")[0] for fact in facts(BUILD)} | {"provenance", "sbom"} & set(REFUSED)
    assert set(properties) == there | set(BUILD_ELSEWHERE)


OF_OTHERS = {
    "secret.external": "refused, as docker compose does: tests/compose/config",
    "secret.name": "of external ones only",
    "secret.labels": "of swarm only: ignored",
    "secret.driver": "of swarm only: ignored",
    "secret.driver_opts": "of swarm only: ignored",
    "secret.template_driver": "of swarm only: ignored",
    "config.external": "refused, as docker compose does: tests/compose/config",
    "config.name": "of external ones only",
    "config.labels": "of swarm only: ignored",
    "config.template_driver": "of swarm only: ignored",
}


def test_every_attribute_of_networks_volumes_secrets_and_configs_is_tested() -> None:
    there = {fact.attribute for fact in facts()}
    for definition in ("network", "volume", "secret", "config"):
        names = {f"{definition}.{name}" for name in _SCHEMA["definitions"][definition]["properties"]}
        assert not names - there - set(OF_OTHERS)


def test_every_kind_of_mount_and_its_options_are_tested() -> None:
    there = {fact.attribute for fact in facts()}
    service = _SCHEMA["definitions"]["service"]["properties"]
    mount = next(form for form in service["volumes"]["items"]["oneOf"] if "properties" in form)["properties"]
    assert not {f"volumes.{kind}" for kind in ("bind", "volume", "tmpfs", "image")} - there
    options = {f"volumes.bind.{name}" for name in mount["bind"]["properties"]}
    assert not options - there - {"volumes.bind.propagation", "volumes.bind.selinux"}  # in volumes.bind; needs SELinux


def test_rows_are_named_once() -> None:
    for table in (facts(), facts(BUILD)):
        names = [fact.attribute for fact in table]
        assert len(names) == len(set(names))


ROOT = Path(__file__).parents[3]
TABLE = ROOT / "tests/compose/compose-facts.tsv"
KNOWN = ROOT.parent / "shared/facts/compose.md"


@cache
def _functions(file: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)}


def _named() -> set[str]:
    """How the tests of tables, recordings and projects are named there."""
    return {
        *(f"fact:{fact.attribute}" for fact in facts()),
        *(f"build:{fact.attribute}" for fact in facts(BUILD)),
        *(f"refused:{name}" for name in REFUSED),
        *(f"bad:{name}" for name in BAD),
        *(f"config:{case.path.name}" for case in cases()),
        *(f"both:{path.name}" for path in BOTH.iterdir()),
    }


def test_every_fact_of_compose_names_tests_that_exist() -> None:
    """`nothing:` says why there is no effect to see: beside what shows that the file is taken, or refused."""
    known, missing = _named(), []
    for line in TABLE.read_text().splitlines()[1:]:
        names = line.split("\t")[1].split("; ")
        assert not names[0].startswith("nothing:"), line
        for where in names:
            file, _, name = where.partition("::")
            if where not in known and not where.startswith("nothing:") and not (name and name in _functions(file)):
                missing.append(where)
    assert missing == []


def test_the_table_has_every_fact_of_compose() -> None:
    rows = [line.split("\t")[0] for line in TABLE.read_text().splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 238
    if not KNOWN.exists():
        pytest.skip("the list of facts is not here")
    lines = [line[2:].strip() for line in KNOWN.read_text().splitlines() if line.startswith("- ")]
    assert [row.partition(": ")[2] for row in rows] == lines
