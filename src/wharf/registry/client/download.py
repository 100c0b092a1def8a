"""A blob from whoever has it, in order, each byte once: mirrors first, the registry itself last.

A source that is cut off is left where it was: another mirror or the registry goes on from there, the registry itself
after a pause. A mirror that fails is not asked again by this repository, nor is one whose bytes turned out to be wrong
(`distrust`). Nobody hashes here.
"""

from collections.abc import Callable

from wharf.registry.client.errors import Misbehaves, Unreachable
from wharf.registry.client.http import Answer
from wharf.registry.client.place import Place
from wharf.spec.image import Descriptor

CHUNK = 256 << 10
MAX_RESUMES = 100
"""Cuts of one blob that are taken up again, as long as each brought something."""
Sink = Callable[[memoryview], object]
Open = Callable[[int], tuple[Place, Answer]]
"""The blob from a position on: who answers, and the answer (206, or 200 with the whole)."""


class Transfer:
    """One blob on its way; `givers` are those that sent bytes of it."""

    def __init__(self, blob: Descriptor, open_at: Open, drop: Callable[[Place], bool], attempts: int) -> None:
        self._blob, self._open, self._drop, self._attempts = blob, open_at, drop, attempts
        self._position = 0
        self.givers: set[Place] = set()

    def run(self, sink: Sink) -> None:
        """Raises Refused, Unreachable, Unauthorized; Misbehaves when the length is not the descriptor's; what `sink`
        raises."""
        failures, resumes = 0, 0
        while True:
            before = self._position
            place, answer = self._open(before)
            try:
                self._receive(place, answer, sink)
                return
            except (Unreachable, Misbehaves) as error:
                answer.close()
                resumes += 1
                if self._drop(place) and resumes <= MAX_RESUMES:
                    if self._position == self._blob.size:
                        return  # a mirror that goes on behind the end: the digest tells what its bytes were worth
                    continue
                failures = failures + 1 if self._position == before else 1
                if isinstance(error, Misbehaves) or failures >= self._attempts or resumes > MAX_RESUMES:
                    raise
                place.pause(failures)
            except BaseException:
                answer.close()
                raise

    def _receive(self, place: Place, answer: Answer, sink: Sink) -> None:
        blob, start = self._blob, self._position
        skip = start if answer.status == 200 else 0
        if start and answer.status == 206:
            _check_range(answer, blob, start)
        left = blob.size if skip or not start else blob.size - start
        if answer.length is not None and answer.length != left:
            raise Misbehaves(f"blob {blob.digest}: {answer.length} bytes announced, {left} expected")
        buffer = memoryview(bytearray(min(CHUNK, max(left, 1))))
        while left:
            size = answer.readinto(buffer[: min(len(buffer), left)])
            if not size:
                raise Unreachable(f'Get "{answer.url.partition("?")[0]}": unexpected EOF')
            left -= size
            useful = buffer[min(skip, size) : size]
            skip -= size - len(useful)
            if useful:
                self.givers.add(place)
                sink(useful)
                self._position += len(useful)
        _check_end(answer, blob)


def _check_end(answer: Answer, blob: Descriptor) -> None:
    if answer.length is None:
        try:
            more = answer.readinto(memoryview(bytearray(1)))
        except Unreachable:
            more = 0
        if more:
            raise Misbehaves(f"blob {blob.digest}: it goes on after its {blob.size} bytes")
    answer.finish()


def _check_range(answer: Answer, blob: Descriptor, position: int) -> None:
    text = answer.header("Content-Range")
    if text.replace(" ", "") not in ("", *(f"bytes{position}-{blob.size - 1}/{end}" for end in (blob.size, "*"))):
        raise Misbehaves(f"blob {blob.digest}: bytes from {position} were asked for, {text[:100]!r} came")
