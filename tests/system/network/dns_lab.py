"""Name servers and askers in the lab's namespaces; messages by dnspython, which knows nothing of ours."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rrset

from tests.system.network.lab import Lab, inside

RESOLVER = "127.0.0.11"
Answer = Callable[[dns.message.Message, bool], dns.message.Message | None]


@dataclass
class NameServer:
    """A server by UDP and TCP on port 53 of its address. `answer(question, by TCP)` None: no answer."""

    answer: Answer
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """(name, kind, asker's address)"""

    def start(self, lab: Lab, netns: int, address: str, tcp: bool = True) -> "NameServer":
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(netns):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, 53))
            stream = socket.socket(family, socket.SOCK_STREAM)
        udp.settimeout(0.1)
        stop = threading.Event()
        threads = [threading.Thread(target=self._datagrams, args=(udp, stop), daemon=True)]
        if tcp:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind((address, 53))
            stream.listen(64)
            stream.settimeout(0.1)
            threads.append(threading.Thread(target=self._streams, args=(stream, stop), daemon=True))
        for thread in threads:
            thread.start()
        for action in (udp.close, stream.close, *(thread.join for thread in threads), stop.set):
            lab.closing.callback(action)
        return self

    def _reply(self, data: bytes, peer: str, by_tcp: bool) -> bytes | None:
        question = dns.message.from_wire(data)
        (asked,) = question.question
        self.seen.append((asked.name.to_text().rstrip("."), dns.rdatatype.to_text(asked.rdtype), peer))
        found = self.answer(question, by_tcp)
        return found.to_wire(max_size=65535) if found else None

    def _datagrams(self, sock: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                data, peer = sock.recvfrom(65535)
                if (reply := self._reply(data, peer[0], False)) is not None:
                    sock.sendto(reply, peer)

    def _streams(self, sock: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, peer = sock.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(2)
                    data = read_framed(client)
                    if (reply := self._reply(data, peer[0], True)) is not None:
                        client.sendall(len(reply).to_bytes(2, "big") + reply)


def addresses(*texts: str, rcode: int = 0) -> Answer:
    """Always these addresses."""

    def answer(question: dns.message.Message, by_tcp: bool) -> dns.message.Message:
        made = dns.message.make_response(question)
        made.set_rcode(rcode)
        if texts:
            kind = "AAAA" if ":" in texts[0] else "A"
            made.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", kind, *texts))
        return made

    return answer


def truncated_by_udp(answer: Answer) -> Answer:
    """The answer by TCP alone; by UDP only that there is more."""

    def cut(question: dns.message.Message, by_tcp: bool) -> dns.message.Message | None:
        if by_tcp:
            return answer(question, by_tcp)
        made = dns.message.make_response(question)
        made.flags |= dns.flags.TC
        return made

    return cut


def many(count: int) -> list[str]:
    return [f"198.18.{number >> 8}.{number & 255}" for number in range(count)]


def read_framed(sock: socket.socket) -> bytes:
    """One message by TCP; raises OSError, EOFError at the end."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        part = sock.recv(65537)
        if not part:
            raise EOFError
        data += part
    return data[2:]


def asker(netns: int, kind: socket.SocketKind = socket.SOCK_DGRAM, seconds: float = 5) -> socket.socket:
    """A socket inside, connected to the resolver; UDP ports that others of the process use are passed over."""
    with inside(netns):
        made = socket.socket(socket.AF_INET, kind)
        made.settimeout(seconds)
        made.connect((RESOLVER, 53))
    return made


def exchange(netns: int, message: dns.message.Message, tcp: bool = False, seconds: float = 5) -> dns.message.Message:
    """Ask the resolver of a namespace; raises OSError."""
    with asker(netns, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM, seconds) as sock:
        wire = message.to_wire()
        sock.sendall(len(wire).to_bytes(2, "big") + wire if tcp else wire)
        data = read_framed(sock) if tcp else sock.recv(65535)
    found = dns.message.from_wire(data, ignore_trailing=False)
    assert message.is_response(found)
    return found


def look_up(netns: int, name: str, kind: str = "A", **options: object) -> list[str]:
    """The data of the answers, sorted; the response code's name in brackets where it is not NOERROR."""
    tcp = bool(options.pop("tcp", False))
    message = dns.message.make_query(name, kind, id=random.randrange(65536), **options)
    found = exchange(netns, message, tcp)
    if found.rcode():
        return [f"<{dns.rcode.to_text(found.rcode())}>"]
    return sorted(str(data) for records in found.answer for data in records)
