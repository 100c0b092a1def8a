"""What a check of the system found."""

from dataclasses import dataclass


@dataclass(slots=True)
class Finding:
    """One thing that is not as it should be: what kind of thing, which one, what is wrong, and whether it was mended.

    `safe` says that mending takes nothing away that anybody could miss.
    """

    kind: str
    object: str
    problem: str
    safe: bool = True
    repaired: bool = False
