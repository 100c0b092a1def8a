"""Layers applied, mounted, changed, diffed and applied again: what the kernel shows is what the layer said."""

import os
import stat
import subprocess
from pathlib import Path

from tests.system.storage.conftest import Store, archive
from wharf.storage.layers.header import CHAR, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry

OLD = 1_500_000_000 * 10**9


def directory(name: bytes, mode: int = 0o755) -> Entry:
    return Entry(name + b"/", DIRECTORY, mode, mtime=OLD)


def file(name: bytes, data: bytes = b"x", **more: int) -> tuple[Entry, bytes]:
    return Entry(name, REGULAR, more.get("mode", 0o644), more.get("uid", 0), more.get("gid", 0), mtime=OLD), data


BASE = archive(
    directory(b"etc"), file(b"etc/passwd"), file(b"etc/group"),
    directory(b"tmp", 0o1777), directory(b"usr"), directory(b"usr/bin"), file(b"usr/bin/tool", mode=0o755),
)  # fmt: skip


def tree(root: Path) -> dict[str, bytes | str]:
    """Every name with its content, its link or its kind."""
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[name] = path.read_bytes()
        else:
            found[name] = os.readlink(path) if stat.S_ISLNK(mode) else stat.filemode(mode)
    return found


def test_owners_modes_times_and_kinds(store: Store) -> None:
    capability = Entry(b"bin", REGULAR, 0o755, 5, 6, mtime=OLD)
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    capability.xattrs = {"security.capability": value}
    name = store.apply(
        archive(
            directory(b"d", 0o2711), file(b"d/suid", b"s", mode=0o4755, uid=1000, gid=1001), (capability, b"cap"),
            Entry(b"l", SYMLINK, 0o777, 7, 8, mtime=OLD, link=b"/nowhere"),
            Entry(b"n", CHAR, 0o620, 0, 5, device=(1, 3)),
            Entry(b"p", FIFO, 0o1640, mtime=OLD), Entry(b"h", HARDLINK, link=b"d/suid"),
        )
    )  # fmt: skip
    root = Path(store.snapshots.layers(name).upper)
    suid, device = (root / "d/suid").stat(), (root / "n").lstat()
    assert (suid.st_mode & 0o7777, suid.st_uid, suid.st_gid, suid.st_nlink) == (0o4755, 1000, 1001, 2)
    assert suid.st_mtime_ns == OLD == (root / "d").stat().st_mtime_ns == (root / "l").lstat().st_mtime_ns
    assert (root / "d").stat().st_mode & 0o7777 == 0o2711
    assert os.getxattr(root / "bin", "security.capability") == value
    assert ((root / "l").lstat().st_uid, os.readlink(root / "l")) == (7, "/nowhere")
    assert (device.st_rdev, stat.S_IMODE(device.st_mode)) == (os.makedev(1, 3), 0o620)
    assert stat.S_IMODE((root / "p").lstat().st_mode) == 0o1640


def test_whiteouts_and_opaque_directories_as_mounted(store: Store) -> None:
    base = store.apply(BASE)
    upper = archive(Entry(b"etc/.wh.passwd"), Entry(b"usr/.wh..wh..opq"), file(b"usr/new"), Entry(b".wh.tmp"))
    store.snapshots.prepare("c", store.apply(upper, base))
    assert tree(store.mount("c")) == {
        "etc": "drwxr-xr-x", "etc/group": b"x", "usr": "drwxr-xr-x", "usr/new": b"x",
    }  # fmt: skip


def test_a_whiteout_hides_only_what_lies_below_in_either_order(store: Store) -> None:
    base = store.apply(BASE)
    before = archive(Entry(b".wh.etc"), directory(b"etc"), file(b"etc/mine"))
    after = archive(directory(b"etc"), file(b"etc/mine"), Entry(b".wh.etc"))
    parentless = archive(Entry(b".wh.etc"), file(b"etc/mine"))
    replaced = archive(Entry(b"usr/bin/.wh.tool"), file(b"usr/bin/tool", b"new"))
    late = archive(file(b"usr/bin/tool", b"new"), Entry(b"usr/bin/.wh.tool"))
    for number, data in enumerate((before, after, parentless)):
        store.snapshots.prepare(f"c{number}", store.apply(data, base))
        assert os.listdir(store.mount(f"c{number}") / "etc") == ["mine"]
    for number, data in enumerate((replaced, late)):
        store.snapshots.prepare(f"d{number}", store.apply(data, base))
        assert (store.mount(f"d{number}") / "usr/bin/tool").read_bytes() == b"new"


def test_a_missing_parent_is_like_the_one_below(store: Store) -> None:
    base = store.apply(BASE)
    name = store.apply(archive(file(b"tmp/a/file")), base)
    root = Path(store.snapshots.layers(name).upper)
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert (root / "tmp").stat().st_mtime_ns == OLD
    assert stat.S_IMODE((root / "tmp/a").stat().st_mode) == 0o755


def test_entries_replace_earlier_ones(store: Store) -> None:
    data = archive(
        directory(b"a"), file(b"a/x"), file(b"a"), directory(b"a"), file(b"a/y"), file(b"f", b"1"), file(b"f", b"22"),
        Entry(b"f", SYMLINK, link=b"a"), file(b"g"), Entry(b"h", HARDLINK, link=b"g"), Entry(b"h", HARDLINK, link=b"g"),
        Entry(b"g", HARDLINK, link=b"g"),
    )  # fmt: skip
    root = Path(store.snapshots.layers(store.apply(data)).upper)
    assert tree(root) == {"a": "drwxr-xr-x", "a/y": b"x", "f": "a", "g": b"x", "h": b"x"}


def test_what_a_container_did_comes_back_from_its_diff(store: Store) -> None:
    base = store.apply(BASE)
    store.snapshots.prepare("c", base, init=True)
    root = store.mount("c")
    script = """
        rm etc/passwd; echo more >> etc/group; rm -r usr/bin; mkdir usr/bin; echo y > usr/bin/other
        mkdir -p new/deep; echo a > new/deep/f; ln new/deep/f new/g; ln -s f new/l; mknod new/n c 1 3; mkfifo new/p
        chmod 4711 new/g; chown 1000:1001 new/l -h; mv usr moved; echo x > new/$(printf 'é%.0s' $(seq 70))
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("new/socket")'
    """
    subprocess.run(["sh", "-ec", script], cwd=root, check=True)
    (root / "new/socket").unlink() if not (root / "new/socket").is_socket() else None
    shown = tree(root)
    shown.pop("new/socket")
    store.unmount("c")
    first = store.diff("c")
    assert first == store.diff("c"), "equal trees give equal bytes"
    assert b"socket" not in first and b"dev/console" not in first
    again = store.apply(first, base)
    store.snapshots.prepare("again", again, init=True)
    assert tree(store.mount("again")) == shown
    node = root.parent / "again/new/g"
    assert (stat.S_IMODE(node.stat().st_mode), node.stat().st_nlink) == (0o4711, 2)


def test_changes_as_docker_lists_them(store: Store) -> None:
    store.snapshots.prepare("c", store.apply(BASE), init=True)
    root = store.mount("c")
    subprocess.run(
        ["sh", "-ec", "rm etc/passwd; echo more >> etc/group; mkdir new; echo a > new/f; touch usr/bin/x"],
        cwd=root, check=True,
    )  # fmt: skip
    assert store.changes("c") == [
        (0, "/etc"), (0, "/etc/group"), (2, "/etc/passwd"), (1, "/new"), (1, "/new/f"),
        (0, "/usr/bin"), (1, "/usr/bin/x"),
    ]  # fmt: skip


def test_an_untouched_container_has_no_changes_and_an_empty_layer(store: Store) -> None:
    store.snapshots.prepare("c", store.apply(BASE), init=True)
    assert store.changes("c") == []
    assert store.diff("c") == bytes(1024), "the empty layer everybody knows"


def test_layers_of_gnu_tar(store: Store, tmp_path: Path) -> None:
    """What another archiver writes, in its own format and with its own long names."""
    source = tmp_path / "source"
    long = source / ("d" * 120) / ("e" * 120)
    long.mkdir(parents=True)
    (long / ("f" * 120)).write_bytes(b"deep")
    (source / "link").symlink_to("l" * 120)
    for form in ("gnu", "pax", "ustar"):
        made = subprocess.run(
            ["tar", "-C", str(source), f"--format={form}", "-cf", "-", "."], capture_output=True, check=form != "ustar"
        )
        name = store.apply(made.stdout)
        found = tree(Path(store.snapshots.layers(name).upper))
        if form != "ustar":  # which cannot hold so long a link
            assert found == tree(source)
        store.snapshots.remove(name)


def test_two_hundred_layers(store: Store) -> None:
    parent = None
    for number in range(200):
        parent = store.apply(archive(file(b"f%d" % number), file(b"same", b"%d" % number)), parent)
    store.snapshots.prepare("c", parent, init=True)
    root = store.mount("c")
    assert (root / "same").read_bytes() == b"199"
    assert len([name for name in os.listdir(root) if name.startswith("f")]) == 200
