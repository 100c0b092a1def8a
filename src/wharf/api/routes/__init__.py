"""All routes of the API; the first that matches wins, so fixed paths stand before names with slashes."""

from wharf.api.router import Route
from wharf.api.routes import (
    absent,
    archive,
    build,
    containers,
    execs,
    images,
    networks,
    streams,
    system,
    volumes,
)

ROUTES: tuple[Route, ...] = (
    *absent.ROUTES,
    *build.ROUTES,
    *system.ROUTES,
    *streams.ROUTES,
    *execs.ROUTES,
    *archive.ROUTES,
    *containers.ROUTES,
    *images.ROUTES,
    *volumes.ROUTES,
    *networks.ROUTES,
)
