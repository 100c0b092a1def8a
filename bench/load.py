"""How long `run` and `ps` take at the 99th percentile while a load of 20,000 files and ten log writers run."""

import statistics
import subprocess
import threading
import time
from pathlib import Path

from bench.engines import Engine

WRITERS = 10
SAMPLES_PER_REPEAT = 5


def percentiles_under_load(peers: list[Engine], work: Path, repeat: int) -> None:
    """Two rows: the 99th percentile and the median in brackets, for each engine on its own."""
    results: dict[str, list[str]] = {"run": [], "ps": []}
    for engine in peers:
        for name, samples in _one(engine, work, repeat * SAMPLES_PER_REPEAT).items():
            ordered = sorted(samples)
            last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            results[name].append(f"{engine.name} p99 {last:.3f} median {statistics.median(samples):.3f}")
    for name, texts in results.items():
        print(f"{name} under load ({repeat * SAMPLES_PER_REPEAT} samples): " + "; ".join(texts), flush=True)


def _one(engine: Engine, work: Path, count: int) -> dict[str, list[float]]:
    ended = threading.Event()
    writers = [f"log-writer-{number}" for number in range(WRITERS)]
    for name in writers:
        script = "while true; do echo some line of a log that is written all the time; usleep 10000; done"
        engine.run("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", script)

    def keep_loading() -> None:
        while not ended.is_set():
            engine.run("load", "-i", str(work / "image.tar"), check=False)
            engine.run("rmi", "-f", "files:load", check=False)

    loader = threading.Thread(target=keep_loading)
    loader.start()
    samples: dict[str, list[float]] = {"run": [], "ps": []}
    try:
        for _ in range(count):
            for name, command in (("run", ["run", "--rm", "--network", "none", "busybox", "true"]), ("ps", ["ps"])):
                start = time.perf_counter()
                engine.run(*command)
                samples[name].append(time.perf_counter() - start)
    finally:
        ended.set()
        loader.join()
        subprocess.run([*engine.client, "-H", engine.host, "rm", "-f", *writers], check=True, stdout=subprocess.DEVNULL)
    return samples
