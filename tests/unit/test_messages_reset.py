"""The last words of a monitor that left something unread."""

import socket

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
