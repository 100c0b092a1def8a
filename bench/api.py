"""The API at the server: listing, inspect, events, attached streams, and what happens at the edge.

Rows whose name begins with `api`; asked over the engine's socket without a client program.
"""

import json
import os
import resource
import select
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.support.large import incompressible

from bench import memory
from bench.asking import Asker, asker, create
from bench.engines import Engine

LISTED, STREAMS, STREAM_SECONDS = 500, 50, 4.0
IDLE, PARALLEL, DROPPED, SLOW = 1000, 200, 300, 20
BODY = 256 << 20
SETTLE_SECONDS = 1.0
TALKS = (
    "l=$(i=0; while [ $i -lt 50 ]; do printf '%079d\\n' 0; i=$((i+1)); done); "
    'while :; do i=0; while [ $i -lt 50 ]; do echo "$l"; i=$((i+1)); done; sleep 1; done'
)
"""200,000 bytes a second in lines of 80."""
Row = Callable[..., None]


def rows(peers: list[Engine], repeat: int, only: str, row: Row) -> None:
    """All of them for ONLY=api and without ONLY, else those whose name contains it."""
    table: tuple[tuple[tuple[str, ...], Callable[[Engine, int], list[float]], float | None], ...] = (
        (("api: list 500 containers, ms", "api: inspect, ms"), listing, None),
        (("api: event to subscriber, ms",), lambda engine, count: [event(engine, count)], 5.0),
        (("api: 50 streams: cores", "api: 50 streams: MB/s"), lambda engine, count: streams(engine), None),
        (("api: 1,000 idle streams: MB", "api: ping beside them, ms"), idle, None),
        (("api: 200 requests at once, s",), lambda engine, count: [parallel(engine, count)], None),
        (("api: 20 who do not read: MB",), lambda engine, count: [slow(engine)], None),
        (("api: 300 dropped: descriptors",), lambda engine, count: [dropped(engine)], None),
        (("api: 256 MB in and out: MB",), lambda engine, count: [bodies(engine)], None),
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * IDLE)), hard))
    goals = {"api: list 500 containers, ms": 0.5, "api: inspect, ms": 5.0, "api: 50 streams: cores": 1.0}
    for names, measure, goal in table:
        if any(only in name for name in names):
            figures = [measure(engine, repeat) for engine in peers]
            for place, name in enumerate(names):
                row(name, [found[place] for found in figures], goals.get(name, goal))


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Median."""
    samples = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    return statistics.median(samples) * 1000


def listing(engine: Engine, repeat: int) -> list[float]:
    """A listing of 500 containers, and an inspect of one of them."""

    def each(work: Callable[[Asker, int], object]) -> None:
        def some(part: int) -> None:
            with asker(engine) as ask:
                for number in range(part, LISTED, 4):
                    work(ask, number)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(some, range(4)))

    each(lambda ask, number: create(ask, f"listed-{number}", ["true"]))
    try:
        with asker(engine) as ask:
            assert len(json.loads(ask.ask("GET", "/containers/json?all=1"))) >= LISTED
            return [
                milliseconds(lambda: ask.ask("GET", "/containers/json?all=1"), 2 * repeat),
                milliseconds(lambda: ask.ask("GET", "/containers/listed-77/json"), 10 * repeat),
            ]
    finally:
        each(lambda ask, number: ask.ask("DELETE", f"/containers/listed-{number}?force=1"))


def event(engine: Engine, repeat: int) -> float:
    """From the request that makes a volume to its event at a subscriber: the making is in it."""
    samples = []
    with asker(engine) as ask, asker(engine) as ear:
        ear.send("GET", "/events?filters=%7B%22type%22:%5B%22volume%22%5D%7D")
        ear.head()
        for _ in range(3 * repeat):
            begin = time.perf_counter()
            ask.send("POST", "/volumes/create", b'{"Name":"bench-event"}')
            assert b"bench-event" in ear.chunk()
            samples.append(time.perf_counter() - begin)
            ask.answer()
            ask.ask("DELETE", "/volumes/bench-event")
            ear.chunk()
    return statistics.median(samples) * 1000


def streams(engine: Engine) -> list[float]:
    """Processor time a second of the engine and its helpers while 50 containers are attached and logged; their rate."""
    names = [f"talker-{number}" for number in range(STREAMS)]
    with ExitStack() as stack:
        ask = stack.enter_context(asker(engine))
        stack.callback(engine.run, "rm", "-f", *names, check=False)
        ears = []
        for name in names:
            create(ask, name, ["sh", "-c", TALKS])
            ask.ask("POST", f"/containers/{name}/start")
            ears.append(_attached(stack, engine, name))
        _read_for(ears, SETTLE_SECONDS)
        before, begin = _spent(engine), time.perf_counter()
        count = _read_for(ears, STREAM_SECONDS)
        took = time.perf_counter() - begin
        return [(_spent(engine) - before) / took, count / took / 1e6]


def _attached(stack: ExitStack, engine: Engine, name: str) -> socket.socket:
    ear = stack.enter_context(asker(engine))
    ear.send("POST", f"/containers/{name}/attach?stream=1&stdout=1", b"", "Connection: Upgrade\r\nUpgrade: tcp\r\n")
    assert ear.head()[0] == 101
    return ear.socket


def _read_for(ears: list[socket.socket], seconds: float) -> int:
    """Bytes that came."""
    poll, by_number, count = select.poll(), {ear.fileno(): ear for ear in ears}, 0
    for number in by_number:
        poll.register(number, select.POLLIN)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            count += len(by_number[number].recv(1 << 18))
    return count


def _spent(engine: Engine) -> float:
    """Seconds of processor time of the engine and every helper in its network namespace."""
    total = 0
    for pid in memory.network_mates(engine.pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def idle(engine: Engine, repeat: int) -> list[float]:
    """Memory that a thousand subscribers to events add, and an answer's time beside them."""
    with ExitStack() as stack:
        ask = stack.enter_context(asker(engine))
        ask.ask("GET", "/_ping")
        before = _held(engine)
        for _ in range(IDLE):
            ear = stack.enter_context(asker(engine))
            ear.send("GET", "/events")
            ear.head()
        added = _held(engine) - before
        return [added / 1e6, milliseconds(lambda: ask.ask("GET", "/_ping"), 10 * repeat)]


def _held(engine: Engine) -> int:
    return sum(memory.private(pid) for pid in memory.network_mates(engine.pid))


def parallel(engine: Engine, repeat: int) -> float:
    """Until two hundred clients, who all ask at once for the list of containers, have their answers."""
    samples = []
    with ExitStack() as stack:
        asking = [stack.enter_context(asker(engine)) for _ in range(PARALLEL)]
        for _ in range(repeat):
            begin = time.perf_counter()
            for ask in asking:
                ask.send("GET", "/containers/json?all=1")
            for ask in asking:
                ask.answer()
            samples.append(time.perf_counter() - begin)
    return statistics.median(samples)


def slow(engine: Engine) -> float:
    """Memory that clients cost who follow a long log and do not read it."""
    with ExitStack() as stack:
        ask = stack.enter_context(asker(engine))
        stack.callback(engine.run, "rm", "-f", "chatty", check=False)
        create(ask, "chatty", ["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 20000000"])
        ask.ask("POST", "/containers/chatty/start")
        ask.ask("POST", "/containers/chatty/wait")
        before = _held(engine)
        for _ in range(SLOW):
            stack.enter_context(asker(engine)).send("GET", "/containers/chatty/logs?stdout=1&follow=1")
        time.sleep(SETTLE_SECONDS)
        return (_held(engine) - before) / 1e6


def dropped(engine: Engine) -> float:
    """Descriptors that are open after clients hung up in the middle of a request, an answer or a stream."""
    targets = ("/events", "/containers/json?all=1", "/images/create?fromSrc=-")
    before = _descriptors(engine)
    for number in range(DROPPED):
        with asker(engine) as ask:
            if number % 3 == 2:
                ask.socket.sendall(b"POST /v1.51/images/create?fromSrc=- HTTP/1.1\r\nHost: d\r\nContent-Le")
            else:
                ask.send("GET", targets[number % 3])
    time.sleep(SETTLE_SECONDS)
    return float(_descriptors(engine) - before)


def _descriptors(engine: Engine) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in memory.network_mates(engine.pid))


def bodies(engine: Engine) -> float:
    """The most memory that an import and a save of 256 MB take beside what there was."""
    before, most, over = _held(engine), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], _held(engine) - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with asker(engine) as ask:
            ask.upload("/images/create?fromSrc=-&repo=bench-body", incompressible(BODY))
            ask.send("GET", "/images/bench-body/get")
            ask.head()
            while ask.chunk():
                pass
            ask.ask("DELETE", "/images/bench-body?force=1")
    finally:
        over.set()
        watching.join()
    return most[0] / 1e6
