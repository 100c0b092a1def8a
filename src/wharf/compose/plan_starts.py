"""Starts in the order of `depends_on` and its conditions, and the waits (pure)."""

from wharf.compose.create_body import scale_of
from wharf.compose.plan_services import needs_of
from wharf.compose.planning import Planning
from wharf.compose.project import Service


def plan_start(work: Planning, name: str) -> None:
    """The service's containers start once what it depends on is as its conditions say."""
    service = work.project.services[name]
    if service.get("provider") is not None:
        work.started[name] = [work.resources[f"provider:{name}"]]
        return
    after = _conditions(work, name, service)
    steps = []
    for target in work.targets[name]:
        there = target.there
        stopped = work.stopped.get(f"stop:{there['Id']}") if there else None
        subject = f"Container {target.name}"
        if not target.made and not stopped and there and there.get("State") == "running":
            steps.append(work.plan.add(f"start:{target.name}", "running", subject))
            continue
        before = [*after, *([target.made] if target.made else needs_of(work, service)), *([stopped] if stopped else [])]
        data = {"service": name, "name": target.name, "container": None if target.made else there and there["Id"]}
        steps.append(work.plan.add(f"start:{target.name}", "container-start", subject, before, data))
    work.started[name] = steps


def _conditions(work: Planning, name: str, service: Service) -> list[str]:
    after: list[str] = []
    for other, how in (service.get("depends_on") or {}).items():
        if other not in work.project.services:
            continue
        after += work.started[other]
        condition = how.get("condition", "service_started")
        target = work.project.services[other]
        if condition == "service_started" or target.get("provider") is not None or scale_of(target) == 0:
            continue
        after.append(_wait(work, other, condition, bool(how.get("required"))))
    return after


def _wait(work: Planning, name: str, condition: str, required: bool) -> str:
    id = f"wait:{name}:{condition}:{required}"
    if id not in work.plan.ids:
        names = [target.name for target in work.targets[name]]
        shown = " ".join(f"Container {item}" for item in names)
        data = {"service": name, "condition": condition, "required": required, "names": names}
        work.plan.add(id, "wait", shown, work.started[name], data)
    return id


def plan_waits(work: Planning) -> None:
    """`--wait`: everything running or healthy; what another waits for to complete, completed."""
    completed = {
        other
        for service in work.project.services.values()
        for other, how in (service.get("depends_on") or {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    for name, service in work.project.services.items():
        if service.get("provider") is None and work.targets[name]:
            _wait(work, name, "service_completed_successfully" if name in completed else "running_or_healthy", True)
