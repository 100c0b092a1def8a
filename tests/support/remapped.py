"""A wharfd whose containers have a user namespace, with a range of ids that the host need not know of."""

from pathlib import Path

from tests.support.wharfd import Wharfd

BASE = 231072
COUNT = 65536
_SCRIPT = 'mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift && exec "$@"'


class Remapped(Wharfd):
    """A daemon that finds a range of ids for root in a subuid(5) of its own."""

    def __init__(self, *flags: str, place: str = "/tmp") -> None:
        super().__init__("--userns-remap=root", *flags, place=place)
        self.ranges = f"{self.root}/ranges"
        Path(self.ranges).write_text(f"somebody:1000:10\nroot:{BASE}:{COUNT}\n")

    @property
    def enter(self) -> list[str]:
        """As in Wharfd, and in a mount namespace with that file."""
        return [*super().enter, "unshare", "-m", "--propagation", "slave", "sh", "-c", _SCRIPT, "sh", self.ranges]
