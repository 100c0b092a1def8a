"""What wharfd may listen on."""

from pathlib import Path

import pytest

from wharf.api.listen import TlsFiles, inherited_listeners, open_listener
from wharf.daemonconfig import read_settings
from wharf.errors import Invalid


def test_loopback_may_be_plain_and_other_addresses_may_not() -> None:
    for address in ("127.0.0.1:0", "[::1]:0"):
        open_listener(f"tcp://{address}", "", None).socket.close()
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost.example:0"):
        with pytest.raises(Invalid, match="refused, because whoever reaches"):
            open_listener(f"tcp://{address}", "", None)


def test_plain_beyond_loopback_is_said_twice(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text("{}")
    once = ["--config-file", str(tmp_path / "daemon.json"), "-H", "tcp://0.0.0.0:0"]
    assert not read_settings(once).unproven
    assert not read_settings([*once, "--tls"]).unproven and read_settings([*once, "--tls"]).tls
    for twice in (["--tls=false"], ["--tlsverify=false"], ["--tls", "--tlsverify=false"]):
        assert read_settings([*once, *twice]).unproven
    (tmp_path / "daemon.json").write_text('{"tlsverify": false}')
    assert read_settings(once).unproven
    open_listener("tcp://0.0.0.0:0", "", None, unproven=True).socket.close()


def test_tls_without_client_proof_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot use the TLS files"):
        open_listener("tcp://0.0.0.0:0", "", TlsFiles(str(tmp_path / "none"), str(tmp_path / "none")))


def test_a_unix_socket_is_for_its_group_only_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "d" / "s"
    open_listener(f"unix://{path}", "0", None).socket.close()
    listener = open_listener(f"unix://{path}", "", None)
    assert path.stat().st_mode & 0o777 == 0o660 and listener.path == str(path)
    listener.socket.close()
    (tmp_path / "file").touch()
    for bad, words in ((tmp_path / "file", "not a socket"), ("x" * 200, "absolute path")):
        with pytest.raises(Invalid, match=words):
            open_listener(f"unix://{bad}", "", None)
    with pytest.raises(Invalid, match="group nosuchgroup not found"):
        open_listener(f"unix://{path}", "nosuchgroup", None)


def test_other_schemes() -> None:
    with pytest.raises(Invalid, match="no sockets found via socket activation"):
        inherited_listeners("fd://")
    for bad in ("npipe://x", "tcp://x", "tcp://127.0.0.1:99999"):
        with pytest.raises(Invalid):
            open_listener(bad, "", None)
