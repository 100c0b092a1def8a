"""The words of one mount, sorted out: config.md#linux-mount-options of the OCI runtime specification."""

from wharf.kernel import mounts as mnt
from wharf.kernel.mount_words import CLEARED, FLAGS, PROPAGATION, RECURSIVE

ID_MAPS = ("idmap", "ridmap")
COPY_UP = "tmpcopyup"


class MountFailed(Exception):
    """A mount of the plan failed; the text names source and target as runc words it.

    `bare`: the text is all that is said, without the runtime's words before it.
    """

    def __init__(self, text: str, bare: bool = False) -> None:
        super().__init__(text)
        self.bare = bare


class Options:
    """Mount words sorted out: flags, propagation, data for the file system, and what mount(2) has no flag for.

    `id_map` is "", `idmap` or `ridmap` (with what is mounted below). `recursive`: flags of mount_setattr(2) that are
    set and cleared here and on all that is mounted below; None when no word asks for it. `copy_up`: a tmpfs begins with
    what it lies over.
    """

    __slots__ = ("cleared", "copy_up", "data", "flags", "id_map", "propagation", "recursive", "subdir")

    def __init__(self, words: list[str]) -> None:
        self.flags = self.cleared = 0
        self.propagation: list[int] = []
        self.recursive: tuple[int, int] | None = None
        self.copy_up = COPY_UP in words
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
            elif word in RECURSIVE:
                self.recursive = _merged(self.recursive or (0, 0), RECURSIVE[word])
            elif word in ID_MAPS:
                self.id_map = word
            elif word.startswith(mnt.SUBDIR):
                self.subdir = word.removeprefix(mnt.SUBDIR)
            elif word != COPY_UP:
                data.append(word)
        self.data = ",".join(data)

    def words(self) -> list[str]:
        """The flags again, but those of a bind."""
        return [word for word, flag in FLAGS.items() if flag & self.flags == flag and word not in ("bind", "rbind")]


def _merged(before: tuple[int, int], word: tuple[int, int]) -> tuple[int, int]:
    """What is set and cleared when one more word is read: the last one about a flag counts."""
    wanted, cleared = word
    return before[0] & ~cleared | wanted, before[1] & ~wanted | cleared


def known_options() -> list[str]:
    """Every mount word that has a meaning of its own here, sorted."""
    return sorted({*FLAGS, *CLEARED, *PROPAGATION, *RECURSIVE, *ID_MAPS, COPY_UP})
