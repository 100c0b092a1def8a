"""A repository of another registry, as a cache sees it: the client's answers in the cache's few words."""

from collections.abc import Iterator

from wharf.errors import Unavailable
from wharf.registry.client.download import CHUNK
from wharf.registry.client.errors import Refused
from wharf.registry.client.http import Answer
from wharf.registry.client.repository import Repository
from wharf.registry.server.proxy import Download
from wharf.spec.digest import Digest


class Remote:
    """What is not there is None; every other failure is the client's."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def digest_of(self, tag: str) -> Digest | None:
        """What a tag names now."""
        head = self._repository.head(tag)
        return head.digest if head else None

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Media type and bytes; a digest was checked."""
        try:
            document = self._repository.manifest(reference)
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return document.media_type, document.data

    def blob(self, digest: Digest) -> Download | None:
        """The blob on its way, to be closed."""
        answer = self._repository.blob(digest)
        return None if answer is None else _Body(answer)


class _Body:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._ended = False

    @property
    def length(self) -> int | None:
        return self._answer.length

    def chunks(self) -> Iterator[memoryview]:
        piece = memoryview(bytearray(CHUNK))
        got = 0
        while size := self._answer.readinto(piece):
            got += size
            yield piece[:size]
        if got != self.length:
            raise Unavailable(f"the connection was cut after {got} of {self.length} bytes")
        self._ended = True

    def close(self) -> None:
        if self._ended:
            self._answer.finish()
        else:
            self._answer.close()
