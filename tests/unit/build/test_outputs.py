"""Outputs, locks and platforms as they are asked for; the live view; what an agent is asked."""

import base64
import io
import json
import os
import socket
import threading

import pytest

from wharf.build.agents import Agents, AgentSocket, RemoteAgent, read_message, send_message
from wharf.build.foreign import check_runnable
from wharf.build.lock import SourceLock, parse_lock
from wharf.build.outputs import DEFAULT, Output, check, parse_outputs
from wharf.cli.build_outputs import fields
from wharf.cli.build_view import Live
from wharf.errors import Conflict, Invalid
from wharf.spec.platform import Platform


class TestOutputs:
    def test_nothing_is_the_engines_store(self) -> None:
        assert parse_outputs("") == parse_outputs("[]") == parse_outputs("null") == DEFAULT

    def test_where_they_go(self) -> None:
        image, docker, archive = parse_outputs(
            json.dumps([{"Type": "image", "Attrs": {"name": "a,b:2", "push": "true"}}, {"Type": "docker"},
                        {"Type": "docker", "Attrs": {"dest": "x"}}])
        )  # fmt: skip
        assert image.pushes and image.stores and not image.to_client
        assert [name.familiar() for name in image.names] == ["a:latest", "b:2"]
        assert docker.stores and not docker.to_client and archive.to_client and not archive.stores
        assert Output("oci").gzip and not archive.gzip and not Output("oci", {"compression": "uncompressed"}).gzip

    @pytest.mark.parametrize(
        "text", ["{", "{}", '[{"Type": 1}]', '[{"Type": "x"}]', '[{"Type": "tar", "Attrs": {"a": 1}}]',
                 '[{"Type": "image", "Attrs": {"push": "perhaps"}}]', "[" * 10_000, "[1]"]
    )  # fmt: skip
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(Invalid):
            parse_outputs(text)

    def test_a_push_needs_a_name(self) -> None:
        with pytest.raises(Invalid, match="tag is needed"):
            check([Output("registry")], ())

    def test_values_with_commas(self) -> None:
        assert fields('type=image,"name=a,b",push=true') == {"type": "image", "name": "a,b", "push": "true"}


class TestLock:
    def test_it_remembers_and_holds(self) -> None:
        free = SourceLock(None)
        free.take("http u", "sha256:1")
        assert free.expected("anything") == "" and free.taken == {"http u": "sha256:1"}
        held = SourceLock({"image i": "sha256:1 sha256:2"})
        held.take("image i", "sha256:1")
        with pytest.raises(Invalid, match="the lock file has sha256:1"):
            held.take("image i", "sha256:3 sha256:2")
        with pytest.raises(Invalid, match="the lock file has no 'image j'"):
            held.expected("image j")

    @pytest.mark.parametrize(
        "text", ["", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "sources": {"a": 1}}']
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(Invalid):
            parse_lock(text)


def test_programs_of_other_platforms() -> None:
    here = Platform("linux", "amd64")
    check_runnable(here, here)
    check_runnable(Platform("linux", "386"), here)
    with pytest.raises(Invalid, match="needs emulation"):
        check_runnable(Platform("linux", "nosuch"), here)


class TestLive:
    def test_a_picture_of_what_runs(self) -> None:
        out = io.StringIO()
        view = Live(out)
        vertex = {"digest": "v", "name": "RUN \x1b[31mit", "started": "t"}
        log = {"vertex": "v", "stream": 1, "data": base64.b64encode(b"first\nsec").decode()}
        view.show({"solve": {"vertexes": [{"digest": "w", "name": "later"}, vertex]}})
        view.show({"solve": {"logs": [log]}})
        view._draw()
        shown = out.getvalue()
        assert "(0/2)" in shown and "# first" in shown and "# sec" in shown and "later" not in shown
        assert "\x1b[31m" not in shown, "a name does not paint the terminal"
        view.show({"solve": {"vertexes": [{**vertex, "completed": "t", "cached": True}]}})
        view.close()
        assert "(1/2)" in out.getvalue() and "CACHED" in out.getvalue()


class TestAgents:
    def test_questions_pass_and_changes_do_not(self) -> None:
        agents = Agents()
        theirs, taken_back = agents.lend("s", "default")
        with pytest.raises(Conflict):
            agents.lend("s", "default")
        agent = agents.of("s", "default")["default"]

        def answer() -> None:
            while (question := read_message(theirs)) is not None:
                send_message(theirs, b"\x0c" + question)

        thread = threading.Thread(target=answer)
        thread.start()
        assert agent.ask(b"\x0b") == b"\x0c\x0b" and agent.ask(b"\x0dsign") == b"\x0c\x0dsign"
        assert agent.ask(b"\x13") == agent.ask(b"") == b"\x05", "remove all: refused, and not even asked"
        taken_back()
        thread.join()
        theirs.close()
        with pytest.raises(Invalid, match="no SSH key"):
            agents.of("s", "default")

    def test_a_socket_of_a_step(self, tmp_path: object) -> None:
        directory = os.path.join(str(tmp_path), "x" * 100)
        os.mkdir(directory)
        path = os.path.join(directory, "s")

        class Echo:
            def ask(self, request: bytes) -> bytes:
                return request[::-1]

        with AgentSocket(Echo(), path, 0o600, (os.getuid(), os.getgid())):
            client = socket.socket(socket.AF_UNIX)
            place = os.open(directory, os.O_PATH)
            client.connect(f"/proc/self/fd/{place}/s")
            os.close(place)
            send_message(client, b"abc")
            assert read_message(client) == b"cba"
            client.sendall(b"\xff\xff\xff\xff")
            assert client.recv(1) == b"", "a message of four gigabytes ends the talk"
            client.close()

    def test_one_that_is_gone(self) -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        with pytest.raises(OSError):
            RemoteAgent(ours).ask(b"\x0b")
        ours.close()
