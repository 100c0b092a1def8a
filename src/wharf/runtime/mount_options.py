"""The words of one mount, sorted out: config.md#linux-mount-options of the OCI runtime specification."""

from wharf.kernel import mounts as mnt
from wharf.kernel.mount_words import CLEARED, FLAGS, PROPAGATION

ID_MAPS = ("idmap", "ridmap")
_IGNORED = ("tmpcopyup", "rrw")


class MountFailed(Exception):
    """A mount of the plan failed; the text names source and target as runc words it.

    `bare`: the text is all that is said, without the runtime's words before it.
    """

    def __init__(self, text: str, bare: bool = False) -> None:
        super().__init__(text)
        self.bare = bare


class Options:
    """Mount words sorted out: flags, propagation, data for the file system, and what mount(2) has no flag for.

    `id_map` is "", `idmap` or `ridmap` (with what is mounted below).
    """

    __slots__ = ("cleared", "data", "flags", "id_map", "propagation", "recursive_ro", "subdir")

    def __init__(self, words: list[str]) -> None:
        self.flags = self.cleared = 0
        self.propagation: list[int] = []
        self.recursive_ro = False
        self.subdir = self.id_map = ""
        data: list[str] = []
        for word in words:
            if word in FLAGS:
                self.flags |= FLAGS[word]
                self.cleared &= ~FLAGS[word]
            elif word in CLEARED:
                self.flags &= ~CLEARED[word]
                self.cleared |= CLEARED[word]
            elif word in PROPAGATION:
                self.propagation.append(PROPAGATION[word])
            elif word == "rro":
                self.recursive_ro = True
            elif word in ID_MAPS:
                self.id_map = word
            elif word.startswith(mnt.SUBDIR):
                self.subdir = word.removeprefix(mnt.SUBDIR)
            elif word not in _IGNORED:
                data.append(word)
        self.data = ",".join(data)

    def words(self) -> list[str]:
        """The flags again, but those of a bind."""
        return [word for word, flag in FLAGS.items() if flag & self.flags == flag and word not in ("bind", "rbind")]


def known_options() -> list[str]:
    """Every mount word that has a meaning of its own here, sorted."""
    return sorted({*FLAGS, *CLEARED, *PROPAGATION, *ID_MAPS, "rro"})
