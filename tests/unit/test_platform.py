"""Platforms as people write them: what Docker 28.5.2 made of the same words."""

import os

import pytest

from wharf.errors import Invalid
from wharf.spec.platform import Platform, of_machine

HERE = of_machine(os.uname().machine).architecture


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux", f"linux/{HERE}"),
        ("LINUX", f"linux/{HERE}"),
        ("windows", f"windows/{HERE}"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("LINUX/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/arm", "linux/arm"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/nosuch", "linux/nosuch"),
        ("linux(1.2)/s390x", "linux/s390x"),
    ],
)
def test_what_is_meant(text: str, meant: str) -> None:
    assert str(Platform.parse(text)) == meant


SYSTEM = r"^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)((?:\\+[A-Za-z0-9_.%-]+)*)\\))?$"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nosuch", '"nosuch": unknown operating system or architecture: invalid argument'),
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'),
        (
            "li nux",
            f'"li nux" is an invalid OS component of "li nux": OSAndVersion specifier component must match "{SYSTEM}": '
            "invalid argument",
        ),
        (
            "linux/a b",
            '"a b" is an invalid component of "linux/a b": platform specifier component must match '
            '"^[A-Za-z0-9_.-]+$": invalid argument',
        ),
        ("linux/*", '"linux/*": wildcards not yet supported: invalid argument'),
        ("linux\n", None),
        ("", None),
    ],
)
def test_what_means_nothing(text: str, told: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        Platform.parse(text)
    assert told is None or caught.value.message == told
