"""What a client asks for; apart from the work, which pulls in an HTTP client that wharfd otherwise does without."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BootstrapRequest:
    """`what`: `busybox` or `debian:SUITE`. No mirror means the host's apt sources, no tag `what` itself."""

    what: str
    mirror: str | None = None
    suite: str | None = None
    tag: str | None = None
