"""The table of Compose's attributes has a row for each that the schema has, or a reason why it has none."""

import json
from pathlib import Path

from tests.compose.test_facts import facts

import wharf.compose.schema as schema

_SCHEMA = json.loads(Path(schema.__file__).with_name("compose-spec.json").read_text())
ELSEWHERE = {
    "build": "tests/compose/test_flow_compose.py builds",
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


def test_rows_are_named_once() -> None:
    names = [fact.attribute for fact in facts()]
    assert len(names) == len(set(names))
