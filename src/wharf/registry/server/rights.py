"""Rights: pull < push < admin, by user and pattern of repository names.

    admin   pull, push and delete          push   pull and push          pull   pull

A user has the largest right of the grants that fit. Everybody may pull from a public repository.
"""

from collections.abc import Iterable
from typing import Protocol

from wharf.spec.registry import fits

RIGHTS = ("pull", "push", "admin")
ACTIONS = {"pull": ("pull",), "push": ("pull", "push"), "admin": ("pull", "push", "delete")}
"""What each right allows."""


class Granting(Protocol):
    """Where grants are kept."""

    def grants(self, user: str) -> list[tuple[str, str]]: ...


class Visible(Protocol):
    """Where it is kept whether a repository is public."""

    def public(self, name: str) -> bool: ...


class Rights:
    """What users may do; `default` is the right of every known user everywhere ("" is none)."""

    def __init__(self, accounts: Granting, repositories: Visible, default: str = "") -> None:
        self._accounts = accounts
        self._repositories = repositories
        self._default = default

    def actions(self, user: str, repository: str) -> frozenset[str]:
        """What the user ("" is a stranger) may do to the repository."""
        found: set[str] = set()
        if user:
            found.update(ACTIONS.get(self._default, ()))
            for pattern, right in self._accounts.grants(user):
                if fits(pattern, repository):
                    found.update(ACTIONS[right])
        if "pull" not in found and self._repositories.public(repository):
            found.add("pull")
        return frozenset(found)


def permitted(wanted: Iterable[str], actions: frozenset[str]) -> list[str]:
    """The wanted actions that are allowed; `*` wants all."""
    asked = list(wanted)
    return sorted(actions) if "*" in asked else [action for action in asked if action in actions]
