"""The platforms that a service is built for, and the one that it runs on (pure)."""

from wharf.compose.project import Project, Service
from wharf.compose.record import replace
from wharf.errors import Invalid


def with_platforms(project: Project, *, single: bool = True) -> Project:
    """Services that are built get `platform` and `build.platforms` to agree; raises Invalid where they cannot.

    `single`: what is built shall run here, so it is built for one; else for all that the file names.
    """
    default = project.environment.get("DOCKER_DEFAULT_PLATFORM", "")
    services = {name: _chosen(name, item, default, single) for name, item in project.services.items()}
    return replace(project, services=services)


def _chosen(name: str, service: Service, default: str, single: bool) -> Service:
    build = service.get("build")
    if build is None:
        return service
    platforms = build.get("platforms") or []
    platform = service.get("platform", "")
    if default and not platform:
        if platforms and default not in platforms:
            raise Invalid(
                f'service "{name}" build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: {default}'
            )
        platform = default
    if platform:
        if platforms and platform not in platforms:
            raise Invalid(f'service "{name}" build configuration does not support platform: {platform}')
        platforms = [platform] if single or not platforms else platforms
    if single and len(platforms) > 1:
        platforms = []  # the builder decides
    built = {key: item for key, item in build.items() if key != "platforms"}
    if platforms:
        built["platforms"] = platforms
    return {**service, "build": built, **({"platform": platform} if platform else {})}
