"""mountinfo(5), parsed."""

from pathlib import Path

from wharf.kernel.mountinfo import at_or_below, holding, mounts_in_sight

TEXT = """\
1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda rw
2 1 0:2 / /tmp rw - tmpfs tmpfs rw
3 2 0:3 / /tmp/a\\040b rw master:4 - tmpfs x rw
4 2 0:4 / /tmp rw shared:7 master:5 - overlay over rw
5 1 0:5 / /tmpfoo rw - tmpfs y rw
"""


def test_where_a_path_lies(tmp_path: Path) -> None:
    (tmp_path / "info").write_text(TEXT)
    table = mounts_in_sight(str(tmp_path / "info"))
    assert [item.point for item in table] == ["/", "/tmp", "/tmp/a b", "/tmp", "/tmpfoo"]
    assert [(item.shared, item.slave) for item in table] == [
        (True, False), (False, False), (False, True), (True, True), (False, False),
    ]  # fmt: skip
    found = {path: holding(path, table) for path in ("/", "/etc", "/tmp", "/tmp/x", "/tmp/a b/c", "/tmpfoo", "/tmpf")}
    assert {path: item.kind for path, item in found.items() if item} == {
        "/": "ext4", "/etc": "ext4", "/tmp": "overlay", "/tmp/x": "overlay", "/tmp/a b/c": "tmpfs",
        "/tmpfoo": "tmpfs", "/tmpf": "ext4",
    }  # fmt: skip
    assert at_or_below("/tmp", table) == ["/tmp", "/tmp/a b", "/tmp"]
