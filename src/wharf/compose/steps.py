"""Steps: what a plan is made of (pure).

A step names what it does to what, with which data, and after which other steps. `apply.py` does them; several at once
where nothing orders them. `--dry-run` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wharf.compose.record import Record, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Step(Record, frozen=True):
    """One change, or one wait."""

    id: str
    action: str
    subject: str
    """As it is shown: `Container shop-db-1`."""
    after: frozenset[str] = frozenset()
    data: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """A line of `--dry-run`."""
        return f"{self.subject}  {DESCRIPTIONS.get(self.action, self.action.capitalize())}"


DESCRIPTIONS = {
    "network-create": "Create", "network-remove": "Remove", "network-detach": "Detach", "volume-create": "Create",
    "volume-remove": "Remove", "container-create": "Create", "container-recreate": "Recreate",
    "container-remove": "Remove", "container-stop": "Stop", "container-start": "Start", "wait": "Wait",
    "image-remove": "Remove", "provider-up": "Up", "provider-down": "Down", "running": "Running",
}  # fmt: skip


class Plan(Record):
    """Steps in an order that respects what comes after what."""

    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def add(
        self, id: str, action: str, subject: str, after: Iterable[str] = (), data: Mapping[str, Any] | None = None
    ) -> str:
        """Appends a step; its id."""
        self.ids.add(id)
        self.steps.append(Step(id, action, subject, frozenset(after), data or {}))
        return id
