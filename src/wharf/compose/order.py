"""The order of services: what a service depends on comes before it (pure)."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def in_order(services: Mapping[str, Any], names: list[str] | None = None) -> list[str]:
    """Names so that dependencies come first; among equals by name. Cycles were refused before."""
    done: dict[str, None] = {}
    for start in sorted(services if names is None else names):
        stack = [(start, iter(_dependencies(services, start)))]
        waiting = {start}
        while stack:
            name, rest = stack[-1]
            other = next((item for item in rest if item not in done and item not in waiting), None)
            if other is not None:
                waiting.add(other)
                stack.append((other, iter(_dependencies(services, other))))
                continue
            stack.pop()
            done.setdefault(name)
    return list(done)


def _dependencies(services: Mapping[str, Any], name: str) -> list[str]:
    return sorted(other for other in services[name].get("depends_on") or () if other in services)


def dependents(services: Mapping[str, Any], name: str) -> list[str]:
    """Services that depend on one, directly."""
    return sorted(other for other, item in services.items() if name in (item.get("depends_on") or {}))
