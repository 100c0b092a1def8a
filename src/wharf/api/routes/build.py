"""Builds: the routes; what answers them is loaded with the first build."""

import importlib
import sys
from typing import Any

from wharf.api.http import Answer, Request
from wharf.api.router import Route
from wharf.api.server import Api

MODULE = "wharf.api.builds"


async def image_build(api: Api, request: Request) -> Answer:
    """POST /build"""
    return await (await _builds(api)).image_build(api, request)  # type: ignore[no-any-return]


async def wharf_build(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build: what `wharf build` asks for"""
    return await (await _builds(api)).image_build(api, request, extended=True)  # type: ignore[no-any-return]


async def build_agent(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/agent"""
    return await (await _builds(api)).build_agent(api, request)  # type: ignore[no-any-return]


async def build_cache(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/cache"""
    return await (await _builds(api)).build_cache(api, request)  # type: ignore[no-any-return]


async def build_context(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/context"""
    return await (await _builds(api)).build_context(api, request)  # type: ignore[no-any-return]


async def build_context_files(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/build/context/files"""
    return await (await _builds(api)).build_context_files(api, request)  # type: ignore[no-any-return]


async def build_cancel(api: Api, request: Request) -> Answer:
    """POST /build/cancel"""
    return await (await _builds(api)).build_cancel(api, request)  # type: ignore[no-any-return]


async def build_prune(api: Api, request: Request) -> Answer:
    """POST /build/prune"""
    return await (await _builds(api)).build_prune(api, request)  # type: ignore[no-any-return]


async def _builds(api: Api) -> Any:
    """The module; the first time it is imported in a thread: the loop goes on meanwhile."""
    if MODULE in sys.modules:
        return importlib.import_module(MODULE)
    return await api.run(importlib.import_module, MODULE)


ROUTES = [
    Route("POST", "/build", image_build),
    Route("POST", "/build/cancel", build_cancel),
    Route("POST", "/build/prune", build_prune),
    Route("POST", "/wharf/v1/build", wharf_build),
    Route("POST", "/wharf/v1/build/agent", build_agent),
    Route("POST", "/wharf/v1/build/cache", build_cache),
    Route("POST", "/wharf/v1/build/context", build_context),
    Route("POST", "/wharf/v1/build/context/files", build_context_files),
]
