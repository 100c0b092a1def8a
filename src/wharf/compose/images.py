"""The images of a project: which are there, which must be pulled or built before containers are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from wharf.client.api import query, quote
from wharf.client.http import ApiError
from wharf.compose.create_body import image_name
from wharf.compose.engine import NOT_FOUND, Engine
from wharf.compose.observed import find_images
from wharf.compose.order import in_order
from wharf.compose.project import Project, Service
from wharf.compose.quantities import parse_duration
from wharf.compose.record import Record, field, replace
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DAY = 24 * 3600
AT_ONCE = 4


class Surroundings(Record):
    """What a project needs of the place where it runs."""

    engine: Engine
    report: Callable[[str, str], None] = lambda subject, status: None
    """Told what happens to which thing."""
    warn: Callable[[str], None] = lambda text: None
    auth: Callable[[str], dict[str, str]] = lambda image: {}
    """Headers with the credentials for an image's registry."""
    credentials: Callable[[], str] = lambda: ""
    """The text of a config.json with all of them; "" where there are none."""
    build: Callable[[Project, str], None] | None = None
    """Builds a service's image."""
    proxies: Callable[[], dict[str, str]] = dict
    """Variables with the user's proxies, for every container."""
    workers: int = 16


class ImagePlan(Record, frozen=True):
    """What must be done before containers can be made (pure)."""

    pulls: dict[str, Service] = field(default_factory=dict)
    """By image name."""
    builds: tuple[str, ...] = ()
    """Services, what a build needs first."""


def plan_images(project: Project, there: dict[str, dict[str, Any]], build: bool | None, now: float) -> ImagePlan:
    """Pulls and builds by each service's policy; `build`: True for all that can be, False for none, None as needed."""
    pulls: dict[str, Service] = {}
    builds = []
    for name, service in project.services.items():
        if service.get("provider") is not None:
            continue
        image = image_name(project, name, service)
        buildable = service.get("build") is not None
        policy = service.get("pull_policy", "")
        if buildable and build is not False and (build or policy == "build" or (
            image not in there and not (service.get("image") and policy in ("always", "missing", "if_not_present"))
        )):  # fmt: skip
            builds.append(name)
        elif service.get("image") and _must_pull(policy, there.get(image), now):
            pulls[image] = service
        for volume in service.get("volumes") or ():
            if volume.get("type") == "image" and volume.get("source") not in there:
                pulls.setdefault(volume["source"], {"image": volume["source"]})
    return ImagePlan(pulls, tuple(name for name in build_order(project) if name in builds))


def build_order(project: Project) -> list[str]:
    """Services whose image another build begins with come first."""
    return in_order({name: {"depends_on": _build_needs(service)} for name, service in project.services.items()})


def with_build_needs(project: Project, names: Iterable[str]) -> tuple[Project, set[str]]:
    """The services, those whose images their builds take as contexts, and so on; the project with them enabled."""
    every = project.all_services()
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in every:
            found.add(name)
            waiting += _build_needs(every[name])
    services = {name: item for name, item in every.items() if name in project.services or name in found}
    disabled = {name: item for name, item in project.disabled.items() if name not in found}
    return replace(project, services=services, disabled=disabled), found


def _build_needs(service: Service) -> set[str]:
    values = ((service.get("build") or {}).get("additional_contexts") or {}).values()
    return {value.removeprefix("service:") for value in values if value.startswith("service:")}


def _must_pull(policy: str, image: dict[str, Any] | None, now: float) -> bool:
    if policy == "always":
        return True
    if policy in ("never", "build"):
        return False
    age = refresh_age(policy)
    if image is None or age is None:
        return image is None
    return now > _tagged_at(image) + age


def refresh_age(policy: str) -> float | None:
    """Seconds after which an image is asked for again; None for policies without an age."""
    if policy == "daily":
        return _DAY
    if policy == "weekly":
        return 7 * _DAY
    if policy.startswith("every_"):
        return parse_duration(policy.removeprefix("every_")) / 10**9
    return None


def _tagged_at(image: dict[str, Any]) -> float:
    text = str((image.get("Metadata") or {}).get("LastTagTime") or "")
    if len(text) < 19 or text.startswith("0001"):
        return 0.0
    import calendar

    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def wanted_images(project: Project) -> list[str]:
    """The names of all images that the project's services need."""
    names = [image_name(project, name, item) for name, item in project.services.items() if item.get("provider") is None]
    names += [
        volume["source"]
        for service in project.services.values()
        for volume in service.get("volumes") or ()
        if volume.get("type") == "image" and volume.get("source")
    ]
    return list(dict.fromkeys(names))


def ensure_images(project: Project, around: Surroundings, build: bool | None = None) -> dict[str, dict[str, Any]]:
    """Pulls and builds what is needed; the images by name. Raises WharfError with what cannot be had."""
    names = wanted_images(project)
    there = find_images(around.engine.client, names)
    plan = plan_images(project, there, build, time.time())
    failed = pull_all(project, around, plan.pulls)
    for image, error in failed.items():
        # What can be built need not be pulled.
        services = [name for name, item in project.services.items() if image_name(project, name, item) == image]
        buildable = [name for name in services if project.services[name].get("build") is not None]
        if not buildable or build is False:
            raise error
        build_all(project, around, buildable[:1])
    whole, builds = _needed_builds(project, around, plan.builds)
    build_all(whole, around, builds)
    changed = [*plan.pulls, *(image_name(project, name, project.services[name]) for name in plan.builds)]
    if changed:
        there |= find_images(around.engine.client, changed)
    missing = [name for name in names if name not in there]
    if missing:
        raise ApiError(f"No such image: {missing[0]}", NOT_FOUND)
    return there


def _needed_builds(project: Project, around: Surroundings, builds: Iterable[str]) -> tuple[Project, list[str]]:
    """The builds, and before them those of images that they take as contexts and that are not there."""
    whole, needed = with_build_needs(project, builds)
    others = {name: image_name(whole, name, whole.services[name]) for name in needed - set(builds)}
    there = find_images(around.engine.client, others.values()) if others else {}
    chosen = {*builds, *(name for name, image in others.items() if image not in there)}
    return whole, [name for name in build_order(whole) if name in chosen]


def build_all(project: Project, around: Surroundings, names: Iterable[str]) -> None:
    """Builds services' images, one after another (each has the whole machine for its steps)."""
    for name in names:
        if around.build is None:
            raise WharfError(f'service "{name}" must be built, and nothing here can build')
        subject = f"Image {image_name(project, name, project.services[name])}"
        around.report(subject, "Building")
        around.build(project, name)
        around.report(subject, "Built")


def pull_all(project: Project, around: Surroundings, pulls: dict[str, Service]) -> dict[str, WharfError]:
    """Pulls several at once; the errors by image."""
    failed: dict[str, WharfError] = {}
    left = list(pulls.items())
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not left:
                    return
                image, service = left.pop(0)
            try:
                pull_image(project, around, image, service)
            except WharfError as error:
                failed[image] = error

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(pulls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def pull_image(project: Project, around: Surroundings, image: str, service: Service) -> None:
    """Pulls one image; raises ApiError or WharfError."""
    from wharf.spec.reference import Reference

    reference = Reference.parse(image).with_default_tag()
    tag = str(reference.digest) if reference.digest else reference.tag
    platform = service.get("platform") or project.environment.get("DOCKER_DEFAULT_PLATFORM", "")
    around.report(f"Image {image}", "Pulling")
    client = around.engine.client
    target = "/images/create" + query({"fromImage": reference.name, "tag": tag, "platform": platform})
    try:
        response = client.request("POST", target, headers=around.auth(image))
        read_progress(client.lines(response))
    except WharfError as error:
        around.report(f"Image {image}", f"Error {error.message}")
        raise
    around.report(f"Image {image}", "Pulled")


def read_progress(lines: Iterable[Any]) -> None:
    """Reads a stream of progress to its end; raises ApiError when it tells of one."""
    for item in lines:
        if "error" in item:
            raise ApiError(str((item.get("errorDetail") or {}).get("message") or item["error"]), 500)


def push_image(around: Surroundings, image: str) -> None:
    """Pushes one image; raises ApiError."""
    from wharf.spec.reference import Reference

    reference = Reference.parse(image).with_default_tag()
    around.report(f"Image {image}", "Pushing")
    client = around.engine.client
    target = f"/images/{quote(reference.name, '/:')}/push" + query({"tag": reference.tag})
    read_progress(client.lines(client.request("POST", target, headers=around.auth(image))))
    around.report(f"Image {image}", "Pushed")
