"""What becomes of a log when its receiver or wharfd is not there, and what modes and rotation do."""

import json
import time
from pathlib import Path

from tests.support.wharfd import Wharfd
from tests.system.api.raw import Client
from tests.system.facts.conftest import Engine
from tests.system.logs.receivers import Receiver, in_namespace, tcp
from tests.system.logs.test_drivers import config, holder, logged, port_of, run
from wharf.engine.shipper import GIVE_UP

__all__ = ["holder"]
COUNT = "i=0; while [ $i -lt {} ]; do echo line $i; i=$((i+1)); done"


def fluentd(port: int, **options: str) -> dict[str, object]:
    """HostConfig of a fluentd receiver."""
    return config("fluentd", fluentd_address=f"127.0.0.1:{port}", fluentd_retry_wait="50ms", **options)


def free_port(namespace: int) -> int:
    """A port that nobody listens on."""
    sock = in_namespace(namespace, tcp())
    with sock:
        return port_of(sock)


def test_a_start_fails_without_its_receiver_and_leaves_nothing(engine: Engine, holder: int) -> None:
    port = free_port(holder)
    engine.create("down", "true", host=fluentd(port))
    answer = engine.post("/containers/down/start")
    prefix = "failed to create task for container: failed to initialize logging driver: "
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert (answer.status, answer.message) == (500, prefix + refused)
    engine.create("syslog", "true", host=config("syslog", syslog_address=f"tcp://127.0.0.1:{port}"))
    assert engine.post("/containers/syslog/start").message == prefix + refused
    engine.create("gelf", "true", host=config("gelf", gelf_address=f"tcp://127.0.0.1:{port}"))
    words = f"gelf: cannot connect to GELF endpoint: 127.0.0.1:{port} {refused}"
    assert engine.post("/containers/gelf/start").message == prefix + words
    assert engine.state("down")["Error"] == prefix + refused


def test_fluentd_async_starts_alone_and_delivers_later(engine: Engine, holder: int) -> None:
    port = free_port(holder)
    engine.start(
        "later", "sh", "-c", COUNT.format(300) + "; cat", host=fluentd(port, fluentd_async="true"), OpenStdin=True
    )
    engine.until_said("later", "line 299")
    with Receiver(in_namespace(holder, tcp(port))) as receiver:
        receiver.until(lambda seen: b"line 299" in seen.data)
        assert receiver.data.count(b"container_id") == 300


def test_a_receiver_that_comes_back_gets_what_it_missed(engine: Engine, holder: int) -> None:
    with Receiver(in_namespace(holder, tcp())) as receiver:
        port = port_of(receiver.sock)
        host = config("syslog", syslog_address=f"tcp://127.0.0.1:{port}")
        engine.start("back", "sh", "-c", "echo first; read x; echo second; read x", host=host, OpenStdin=True)
        receiver.until(lambda seen: b"first\n" in seen.data)
    with engine.open("POST", "/v1.51/containers/back/attach?stdin=1&stream=1", upgrade=True) as stdin:
        stdin.sendall(b"\n")
        engine.until_said("back", "second")
        with Receiver(in_namespace(holder, tcp(port))) as receiver:
            receiver.until(lambda seen: b"second\n" in seen.data)
        assert b"first" not in receiver.data
        stdin.sendall(b"\n")


def test_a_blocking_log_stops_the_container_and_loses_nothing(engine: Engine, holder: int) -> None:
    with Receiver(in_namespace(holder, tcp())) as receiver:
        receiver.paused.set()
        lines = 60_000
        limits = {"cache_max_size": "100k", "cache_max_file": "2"}
        host = fluentd(port_of(receiver.sock), **limits)
        engine.start("slow", "sh", "-c", COUNT.format(lines) + "; echo written >/done", host=host)
        cache = Path(engine.daemon.root, "data/containers", engine.inspect("slow")["Id"])
        size = -1
        while size != (size := sum(item.stat().st_size for item in cache.glob("container-cached*"))) or size < 100_000:
            time.sleep(0.5)  # it stands still because nobody reads: there is no event for that
        assert engine.state("slow")["Running"] and size < 2 << 20
        receiver.paused.clear()
        receiver.until(lambda seen: b"line %d" % (lines - 1) in seen.data)
    assert receiver.data.count(b"container_id") == lines
    assert engine.post("/containers/slow/wait").json()["StatusCode"] == 0


def test_a_non_blocking_log_drops_what_its_buffer_cannot_hold(engine: Engine, holder: int) -> None:
    with Receiver(in_namespace(holder, tcp())) as receiver:
        receiver.paused.set()
        lines = 60_000
        host = fluentd(port_of(receiver.sock), mode="non-blocking", max_buffer_size="64k")
        engine.start("fast", "sh", "-c", COUNT.format(lines), host=host)
        assert engine.post("/containers/fast/wait").json()["StatusCode"] == 0  # it never waited
        assert logged(engine, "fast", "stdout=1&tail=1") == [b"line %d\n" % (lines - 1)]
        receiver.paused.clear()
        receiver.until(lambda seen: b"line 300" in seen.data)
        engine.api.ask("DELETE", "/v1.51/containers/fast")
    assert 300 < receiver.data.count(b"container_id") < lines


def test_the_log_goes_on_while_wharfd_is_dead(holder: int) -> None:
    del holder
    with Wharfd() as daemon:
        daemon.load_busybox()
        assert daemon.holder is not None
        engine = Engine(daemon, Client(daemon.socket))
        with Receiver(in_namespace(daemon.holder.pid, tcp())) as receiver:
            script = "echo before; cat /go >/dev/null 2>&1; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after"
            bind = {"Binds": [f"{daemon.root}/shared:/tmp"]}
            Path(f"{daemon.root}/shared").mkdir()
            made = engine.start("on", "sh", "-c", script, host={**fluentd(port_of(receiver.sock)), **bind})
            receiver.until(lambda seen: b"before" in seen.data)
            time.sleep(0.8)  # the cursor is stored every half second
            daemon.kill()
            Path(f"{daemon.root}/shared/go").touch()
            cache = Path(f"{daemon.root}/data/containers/{made}/container-cached.log")
            deadline = time.monotonic() + 20
            while b"after" not in cache.read_bytes():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            daemon.start()
            receiver.until(lambda seen: b"after" in seen.data)
            assert (receiver.data.count(b"before"), receiver.data.count(b"after")) == (1, 1)
        engine.api.ask("DELETE", "/v1.51/containers/on?force=1")


def test_local_rotates_compressed_and_is_read_whole(engine: Engine) -> None:
    host = config("local", max_size="20k", max_file="30")
    made = run(engine, "local", host, "sh", "-c", COUNT.format(5000))
    directory = Path(engine.daemon.root, "data/containers", made, "local-logs")
    assert len(list(directory.glob("container.log.*.gz"))) >= 5
    assert logged(engine, "local") == [b"line %d\n" % number for number in range(5000)]
    assert logged(engine, "local", "stdout=1&tail=2") == [b"line 4998\n", b"line 4999\n"]
    stamped = logged(engine, "local", "stdout=1&timestamps=1&tail=2500")
    moment = stamped[0].split(b" ", 1)[0].decode()
    import calendar

    seconds = calendar.timegm(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S"))
    fraction = moment[20:-1].ljust(9, "0")
    since = logged(engine, "local", f"stdout=1&since={seconds}.{fraction}")
    assert len(since) >= 2500 and since[-2500:] == logged(engine, "local", "stdout=1&tail=2500")
    assert logged(engine, "local", "stdout=1&details=1&tail=1") == [b" line 4999\n"]


def test_drivers_of_the_daemon_and_reading_that_is_off(engine: Engine, holder: int) -> None:
    found = engine.get("/info").json()
    assert found["Plugins"]["Log"] == ["fluentd", "gelf", "journald", "json-file", "local", "syslog"]
    host = config("syslog", syslog_address=f"udp://127.0.0.1:{free_port(holder)}", cache_disabled="true")
    run(engine, "unread", host)
    answer = engine.get("/containers/unread/logs?stdout=1")
    assert (answer.status, answer.message) == (501, "configured logging driver does not support reading")
    assert engine.inspect("unread")["HostConfig"]["LogConfig"] == {
        "Type": "syslog",
        "Config": json.loads(json.dumps(host["LogConfig"]["Config"])),
    }


def test_removals_that_wait_for_a_receiver_hold_nothing_up(engine: Engine, holder: int) -> None:
    port, count = free_port(holder), 12  # more than the engine has threads for such work
    host = {**fluentd(port, fluentd_async="true"), "AutoRemove": True}
    made = [engine.start(f"leaving{number}", "echo", f"line {number}", host=host) for number in range(count)]
    begun = time.monotonic()
    for name in made:
        engine.until(name, Status="removing")
    assert engine.post(f"/containers/{made[0]}/start").status == 409
    run(engine, "other", {})
    assert engine.state("other")["Status"] == "exited"
    assert time.monotonic() - begun < GIVE_UP / 2
    with Receiver(in_namespace(holder, tcp(port))) as receiver:
        receiver.until(lambda seen: all(b"line %d" % number in seen.data for number in range(count)))
        gone = [engine.post(f"/containers/{name}/wait?condition=removed").status for name in made]
        assert set(gone) <= {200, 404}
    assert [item for item in engine.get("/containers/json?all=1").json() if item["Id"] in made] == []
