"""The last words of a monitor that left something unread."""

import socket
from typing import Any

import pytest

from wharf.runtime import messages


def test_what_a_peer_sent_before_it_closed_with_unread_messages_is_heard() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    messages.send(ours, {"op": "resize"}, [])
    messages.send(theirs, {"op": "exit", "code": 3}, [])
    theirs.close()
    assert messages.receive(ours)[0]["code"] == 3
    with pytest.raises(messages.Closed):
        messages.receive(ours)
    ours.close()


class _ResetBetween:
    """A socket whose peer closes between the question for the size and the read."""

    def __init__(self, sock: socket.socket, closes: socket.socket) -> None:
        self._sock, self._closes = sock, closes

    def recv_into(self, *words: Any) -> int:
        size = self._sock.recv_into(*words)
        self._closes.close()
        return size

    def recvmsg(self, *words: Any) -> Any:
        return self._sock.recvmsg(*words)


def test_a_peer_may_close_while_its_last_message_is_read() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    messages.send(ours, {"op": "go"}, [])
    messages.send(theirs, {"op": "failed", "text": "no such program"}, [])
    assert messages.receive(_ResetBetween(ours, theirs))[0]["text"] == "no such program"  # type: ignore[arg-type]
    ours.close()
