"""A wanted project and what is there -> the steps that make the one of the other (pure)."""

from wharf.compose.observed import Observed
from wharf.compose.order import in_order
from wharf.compose.plan_resources import plan_resources
from wharf.compose.plan_services import plan_orphans, plan_service
from wharf.compose.plan_starts import plan_start, plan_waits
from wharf.compose.planning import Planning, UpOptions
from wharf.compose.project import Project
from wharf.compose.steps import Plan


def plan_up(project: Project, observed: Observed, options: UpOptions = UpOptions()) -> Plan:
    """Networks, volumes, containers, starts in the order of conditions, and the waits of `--wait`. Raises Invalid."""
    work = Planning(project, observed, options)
    plan_resources(work)
    plan_orphans(work)
    order = in_order(project.services)
    for name in order:
        plan_service(work, name)
    if options.start:
        for name in order:
            plan_start(work, name)
        if options.wait:
            plan_waits(work)
    return work.plan
