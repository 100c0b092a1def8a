"""Images of another platform than this machine's."""

from wharf.engine.image_platform import warn_of_platform
from wharf.spec.platform import Platform

HOST = Platform.parse("linux/amd64")


def test_an_image_of_another_platform_is_warned_of() -> None:
    assert warn_of_platform(Platform.parse("linux/arm64"), HOST) == [
        "The requested image's platform (linux/arm64) does not match the detected host platform (linux/amd64) and no "
        "specific platform was requested"
    ]
    assert warn_of_platform(HOST, HOST) == []
    assert warn_of_platform(Platform("linux", ""), HOST) == [], "an image that does not say it"
