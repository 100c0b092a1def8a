"""`wharf compose build`, `pull` and `push`."""

from __future__ import annotations

import os
import tempfile

from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wharf.compose.project import Project, Service

BUILD = command(
    "build",
    "[OPTIONS] [SERVICE...]",
    "Build or rebuild services",
    (
        ("build-arg", "", "list", "Set build-time variables for services"),
        ("builder", "", "string", "Set builder to use (has no effect)"),
        ("memory", "m", "string", "Set memory limit for the build container"),
        ("no-cache", "", "bool", "Do not use cache when building the image"),
        ("print", "", "bool", "Print the build commands and build nothing"),
        ("pull", "", "bool", "Always attempt to pull a newer version of the image"),
        ("push", "", "bool", "Push service images"),
        ("quiet", "q", "bool", "Suppress the build output"),
        ("ssh", "", "string", "Set SSH authentications used when building service images"),
        ("with-dependencies", "", "bool", "Also build dependencies (transitively)"),
    ),
)
PULL = command(
    "pull",
    "[OPTIONS] [SERVICE...]",
    "Pull service images",
    (
        ("ignore-buildable", "", "bool", "Ignore images that can be built"),
        ("ignore-pull-failures", "", "bool", "Pull what it can and ignores images with pull failures"),
        ("include-deps", "", "bool", "Also pull services declared as dependencies"),
        ("policy", "", "string", 'Apply pull policy ("missing"|"always")'),
        ("quiet", "q", "bool", "Pull without printing progress information"),
    ),
)
PUSH = command(
    "push",
    "[OPTIONS] [SERVICE...]",
    "Push service images",
    (
        ("ignore-push-failures", "", "bool", "Push what it can and ignores images with push failures"),
        ("include-deps", "", "bool", "Also push images of services declared as dependencies"),
        ("quiet", "q", "bool", "Push without printing progress information"),
    ),
)


def build_service(compose: Compose, project: Project, name: str, flags: dict[str, Any] | None = None) -> None:
    """Builds a service's image as `wharf build` does; raises WharfError when it fails."""
    from wharf.cli.build import build as wharf_build

    service = project.services[name]
    for field in ("provenance", "sbom"):
        if service["build"].get(field, "false") not in ("", "false", "disabled=true"):
            raise WharfError(f'Attestation is not supported yet: service "{name}" asks for build.{field}')
    inline = service["build"].get("dockerfile_inline")
    with tempfile.TemporaryDirectory(prefix="wharf-compose-") as place:
        file = ""
        if inline:
            file = os.path.join(place, "Dockerfile")
            with open(file, "w", encoding="utf-8") as written:
                written.write(inline)
        secrets = _secrets(project, service, place)
        words = build_words(project, name, service, flags or {}, file)
        status = wharf_build(compose.session, [*secrets, *words])
    if status:
        raise WharfError(f"failed to build service {name}")


def build_words(project: Project, name: str, service: Service, flags: dict[str, Any], file: str) -> list[str]:
    """The words of `wharf build` for a service (pure)."""
    from wharf.compose import labels
    from wharf.compose.create_body import image_name

    build = service["build"]
    words = [f"--tag={tag}" for tag in dict.fromkeys([image_name(project, name, service), *(build.get("tags") or ())])]
    arguments = {**(build.get("args") or {}), **dict(text.partition("=")[::2] for text in flags.get("build-arg", ()))}
    words += [
        f"--build-arg={key}={value}" if value is not None else f"--build-arg={key}" for key, value in arguments.items()
    ]
    stamps = {labels.PROJECT: project.name, labels.SERVICE: name, labels.VERSION: labels.COMPOSE_VERSION}
    words += [f"--label={key}={value}" for key, value in {**(build.get("labels") or {}), **stamps}.items()]
    context = build.get("context", ".")
    dockerfile = file or build.get("dockerfile", "")
    if dockerfile and (file or dockerfile != "Dockerfile"):
        remote = "://" in context or context.startswith("git@")
        words.append(
            f"--file={dockerfile if remote or os.path.isabs(dockerfile) else os.path.join(context, dockerfile)}"
        )
    words += [f"--add-host={host}:{address}" for host, addresses in (build.get("extra_hosts") or {}).items()
              for address in addresses]  # fmt: skip
    words += [f"--cache-from={item}" for item in build.get("cache_from") or ()]
    words += [f"--cache-to={item}" for item in build.get("cache_to") or ()]
    words += [f"--platform={item}" for item in build.get("platforms") or ()]
    words += [f"--ulimit={key}={_ulimit(item)}" for key, item in (build.get("ulimits") or {}).items()]
    words += [f"--ssh={key['id']}{'=' + key['path'] if key.get('path') else ''}" for key in build.get("ssh") or ()]
    entitlements = [*(build.get("entitlements") or ()), *(["security.insecure"] if build.get("privileged") else ())]
    words += [f"--allow={item}" for item in dict.fromkeys(entitlements)]
    for field in ("network", "target"):
        if build.get(field):
            words.append(f"--{field}={build[field]}")
    if build.get("shm_size"):
        words.append(f"--shm-size={build['shm_size']}")
    for field, flag in (("no_cache", "no-cache"), ("pull", "pull")):
        if build.get(field) or flags.get(flag):
            words.append(f"--{flag}")
    words += [f"--{flag}={flags[flag]}" for flag in ("memory", "ssh") if flags.get(flag)]
    if flags.get("quiet"):
        words.append("--quiet")
    for key, value in (build.get("additional_contexts") or {}).items():
        other = value.removeprefix("service:") if value.startswith("service:") else ""
        where = f"docker-image://{image_name(project, other, project.services[other])}" if other else value
        words.append(f"--build-context={key}={where}")
    return [*words, context]


def _ulimit(limit: dict[str, int]) -> str:
    return f"{limit.get('soft') or limit.get('single', 0)}:{limit.get('hard') or limit.get('single', 0)}"


def _secrets(project: Project, service: Service, place: str) -> list[str]:
    words = []
    for index, reference in enumerate(service["build"].get("secrets") or ()):
        source = reference.get("source", "")
        secret = project.secrets[source]
        path = secret.get("file", "")
        if secret.get("environment"):
            path = os.path.join(place, f"secret{index}")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as written:
                written.write(project.environment.get(secret["environment"], ""))
        words.append(f"--secret=id={reference.get('target') or source},src={path}")
    return words


def build(compose: Compose, args: list[str]) -> int:
    """Builds the services that can be built."""
    flags, names = BUILD.parse(args)
    from wharf.compose.images import build_order, with_build_needs
    from wharf.compose.platforms import with_platforms

    project = with_platforms(compose.project(names), single=False)
    if names and not flags.get("with-dependencies"):
        project, wanted = with_build_needs(project, names)
    else:
        project, wanted = with_build_needs(project, project.services)
    around = compose.around(bool(flags.get("quiet")))
    chosen = [
        name for name in build_order(project) if name in wanted and project.services[name].get("build") is not None
    ]
    if not chosen:
        compose.session.complain("WARN: No services to build")
        return 0
    for name in chosen:
        if flags.get("print") or compose.dry_run or flags.get("dry-run"):
            compose.session.line(
                "wharf build " + " ".join(build_words(project, name, project.services[name], flags, ""))
            )
            continue
        build_service(compose, project, name, flags)
        if flags.get("push"):
            _push(around, project, [name])
        around.report(f"Service {name}", "Built")
    return 0


def pull(compose: Compose, args: list[str]) -> int:
    """Pulls the services' images."""
    flags, names = PULL.parse(args)
    from wharf.compose.images import pull_all
    from wharf.compose.observed import find_images

    project = _chosen(compose, flags, names)
    policy = flags.get("policy", "")
    if policy not in ("", "missing", "always"):
        raise ExitWith(f'invalid --policy option "{policy}"')
    around = compose.around(bool(flags.get("quiet")))
    pulls: dict[str, Any] = {}
    for service in project.services.values():
        buildable = service.get("build") is not None
        skipped = service.get("pull_policy") in ("never", "build") or (buildable and flags.get("ignore-buildable"))
        if service.get("image") and not skipped:
            pulls.setdefault(service["image"], service)
    if policy == "missing":
        there = find_images(around.engine.client, pulls)
        pulls = {image: service for image, service in pulls.items() if image not in there}
    failed = pull_all(project, around, pulls)
    for image, error in failed.items():
        if pulls[image].get("build") is None and not flags.get("ignore-pull-failures"):
            raise error
        compose.warn([error.message])
    return 0


def _chosen(compose: Compose, flags: dict[str, Any], names: list[str]) -> Project:
    project = compose.project(names)
    return project if not names or flags.get("include-deps") else project.with_selected(names, dependencies=False)


def push(compose: Compose, args: list[str]) -> int:
    """Pushes the images of the services that are built."""
    flags, names = PUSH.parse(args)
    project = _chosen(compose, flags, names)
    around = compose.around(bool(flags.get("quiet")))
    failed = _push(around, project, project.services, bool(flags.get("ignore-push-failures")))
    compose.warn(failed)
    return 0


def _push(around: Any, project: Project, names: Iterable[str], ignore: bool = False) -> list[str]:
    from wharf.compose.create_body import image_name
    from wharf.compose.images import push_image

    failed = []
    for name in names:
        service = project.services[name]
        if service.get("build") is None or not service.get("image"):
            continue
        for image in [image_name(project, name, service), *(service["build"].get("tags") or ())]:
            try:
                push_image(around, image)
            except WharfError as error:
                if not ignore:
                    raise
                failed.append(error.message)
    return failed
