"""Image names as people type them; the few rules the command line itself needs (the daemon checks them)."""


def split(name: str) -> tuple[str, str]:
    """(repository, tag or digest) of `name`, the second empty when there is none."""
    repository, at, digest = name.partition("@")
    if at:
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "")


def with_tag(name: str) -> str:
    """The name with `:latest` when it has neither tag nor digest."""
    return name if split(name)[1] else f"{name}:latest"


def canonical(repository: str) -> str:
    """`busybox` -> `docker.io/library/busybox`, as docker sends repositories."""
    first, slash, _ = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return repository
    return f"docker.io/{repository}" if slash else f"docker.io/library/{repository}"


def familiar(name: str) -> str:
    """`docker.io/library/busybox` -> `busybox`."""
    for prefix in ("docker.io/library/", "docker.io/"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def platform(text: str) -> dict[str, str]:
    """`linux/arm64/v8` as the API takes it, {} for nothing; raises Invalid."""
    from wharf.errors import Invalid

    if not text:
        return {}
    words = text.split("/")
    if len(words) not in (2, 3) or not all(words):
        raise Invalid(f"invalid platform {text[:100]!r}: expected os/architecture[/variant]")
    return dict(zip(("os", "architecture", "variant"), words, strict=False))
