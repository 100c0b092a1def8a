"""The plan is pure: steps and their order for what is wanted and what is there."""

from pathlib import Path
from typing import Any

import pytest

from wharf.compose import Project, labels
from wharf.compose.hashes import network_hash, service_hash
from wharf.compose.observed import Observed
from wharf.compose.plan import plan_up
from wharf.compose.plan_down import DownOptions, plan_down
from wharf.compose.planning import UpOptions
from wharf.compose.steps import Plan
from wharf.errors import Invalid, WharfError

_TEXT = """
name: shop
services:
  db: {image: db, volumes: ["data:/data"], healthcheck: {test: "true"}}
  web: {image: web, scale: 2, depends_on: {db: {condition: service_healthy, restart: true}}}
  side: {image: side, network_mode: "service:web"}
volumes: {data: }
"""


def _project(tmp_path: Path, text: str = _TEXT) -> Project:
    (tmp_path / "compose.yaml").write_text(text)
    return Project.load([str(tmp_path / "compose.yaml")], environment={})


def _steps(plan: Plan) -> dict[str, set[str]]:
    return {step.id: set(step.after) for step in plan.steps}


def _container(project: Project, service: str, number: int = 1, **more: Any) -> dict[str, Any]:
    marks = {labels.PROJECT: "shop", labels.SERVICE: service, labels.NUMBER: str(number), labels.ONE_OFF: "False",
             labels.HASH: service_hash(project.services[service]) if service in project.services else "x"}  # fmt: skip
    return {"Id": f"{service}{number}" * 8, "Names": [f"/shop-{service}-{number}"], "Labels": marks, "State": "running",
            "NetworkSettings": {"Networks": {"shop_default": {"NetworkID": "n1"}}},
            "Mounts": [{"Type": "volume", "Name": "shop_data"}], **more}  # fmt: skip


def _there(project: Project, *containers: dict[str, Any]) -> Observed:
    network = {"Id": "n1", "Name": "shop_default", "Labels": {
        labels.PROJECT: "shop", labels.NETWORK: "default",
        labels.HASH: network_hash(project.networks["default"])}}  # fmt: skip
    return Observed(list(containers), {"shop_default": network}, {"shop_data": {"Labels": {labels.PROJECT: "shop"}}})


def test_everything_is_made_in_the_order_of_what_needs_what(tmp_path: Path) -> None:
    steps = _steps(plan_up(_project(tmp_path), Observed()))
    assert steps["create:shop-db-1"] == {"network:default", "volume:data"}
    assert steps["create:shop-web-2"] == {"network:default"}
    assert {"create:shop-web-1", "create:shop-web-2"} <= steps["create:shop-side-1"]
    assert "wait:db:service_healthy:True" in steps["start:shop-web-1"]
    assert steps["wait:db:service_healthy:True"] == {"start:shop-db-1"}


def test_what_has_not_changed_is_left_alone(tmp_path: Path) -> None:
    project = _project(tmp_path, "name: shop\nservices: {web: {image: web}}\n")
    plan = plan_up(project, _there(project, _container(project, "web")))
    assert [step.action for step in plan.steps] == ["running"]


def test_a_changed_service_is_made_again_and_its_dependents_are_stopped_before(tmp_path: Path) -> None:
    project = _project(tmp_path)
    old = _container(project, "db")
    old["Labels"][labels.HASH] = "another"
    web = [_container(project, "web", number) for number in (1, 2)]
    plan = plan_up(project, _there(project, old, *web))
    steps = _steps(plan)
    assert steps["create:shop-db-1"] == {f"stop:{item['Id']}" for item in web}
    assert next(step for step in plan.steps if step.id == "create:shop-db-1").action == "container-recreate"
    assert f"stop:{web[0]['Id']}" in steps["start:shop-web-1"]


def test_what_was_made_before_starts_when_its_network_is_there_again(tmp_path: Path) -> None:
    """A `down` beside a killed `up` may take the network and miss a container that was just being made."""
    project = _project(tmp_path, "name: shop\nservices: {web: {image: web}}\n")
    never = {"Networks": {"shop_default": {"NetworkID": ""}}}
    left = _container(project, "web", State="created", NetworkSettings=never)
    assert _steps(plan_up(project, Observed([left])))["start:shop-web-1"] == {"network:default"}


def test_scaling_down_takes_the_highest_numbers(tmp_path: Path) -> None:
    project = _project(tmp_path).with_scale("web", 1)
    there = [_container(project, "web", number) for number in (1, 2, 3)]
    removed = [step.data["container"] for step in plan_up(project, _there(project, *there)).steps
               if step.action == "container-remove"]  # fmt: skip
    assert removed == [there[1]["Id"], there[2]["Id"]]


def test_orphans_are_named_or_removed(tmp_path: Path) -> None:
    project = _project(tmp_path)
    orphan = _container(project, "gone")
    assert "shop-gone-1" in plan_up(project, _there(project, orphan)).warnings[-1]
    plan = plan_up(project, _there(project, orphan), UpOptions(remove_orphans=True))
    assert f"remove:{orphan['Id']}" in _steps(plan)


def test_a_network_described_otherwise_is_made_again_with_its_containers(tmp_path: Path) -> None:
    project = _project(tmp_path, "name: shop\nservices: {web: {image: web}}\n")
    there = _there(project, _container(project, "web"))
    there.networks["shop_default"]["Labels"][labels.HASH] = "another"
    steps = _steps(plan_up(project, there))
    assert steps["network:default"] == {"network-remove:default"}
    assert steps["create:shop-web-1"] == {"network:default"}


def test_external_things_must_be_there(tmp_path: Path) -> None:
    text = "name: shop\nservices: {web: {image: web, networks: [n]}}\nnetworks: {n: {external: true, name: outside}}\n"
    with pytest.raises(Invalid, match="network outside declared as external, but could not be found"):
        plan_up(_project(tmp_path, text), Observed())


def test_down_goes_from_dependents_to_networks(tmp_path: Path) -> None:
    project = _project(tmp_path)
    db, web = _container(project, "db"), _container(project, "web")
    steps = _steps(plan_down(project, _there(project, db, web), DownOptions(volumes=True)))
    assert steps[f"remove:{db['Id']}"] == {f"remove:{web['Id']}"}
    assert steps["network-remove:default"] == {f"remove:{db['Id']}", f"remove:{web['Id']}"}
    assert "volume-remove:data" in steps


def test_two_thousand_services_in_a_row(tmp_path: Path) -> None:
    rows = [f"  s{index}: {{image: x, depends_on: [s{index - 1}]}}" for index in range(1, 2000)]
    text = "name: shop\nservices:\n  s0: {image: x}\n" + "\n".join(rows)
    plan = plan_up(_project(tmp_path, text), Observed())
    assert sum(step.action == "container-start" for step in plan.steps) == 2000


def test_a_cycle_is_one_clear_message(tmp_path: Path) -> None:
    text = "name: shop\nservices: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}\n"
    with pytest.raises(WharfError, match="dependency cycle detected: a -> b -> a"):
        _project(tmp_path, text)


def test_a_bomb_of_anchors_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(WharfError, match="excessive aliasing"):
        _project(tmp_path, "\n".join(lines))
