"""Which containers in the making hold a volume."""

import threading

import pytest

from wharf.engine.volume_holds import VolumeHolds


def test_a_volume_is_held_until_its_last_holder_is_done() -> None:
    holds = VolumeHolds()
    with holds.by("one") as one:
        one("data")
        with holds.by("two") as two:
            two("data")
            two("logs")
            assert holds.of("data") == ["one", "two"] and holds.of("logs") == ["two"]
        assert holds.of("data") == ["one"] and not holds.of("logs")
    assert not holds.of("data")


def test_a_failure_lets_go() -> None:
    holds = VolumeHolds()
    with pytest.raises(ValueError), holds.by("one") as hold:
        hold("data")
        hold("data")
        raise ValueError
    assert not holds.of("data")


def test_who_wants_a_volume_that_is_going_waits_for_its_end() -> None:
    holds, order = VolumeHolds(), []

    def make() -> None:
        with holds.by("one") as hold:
            hold("other")  # of another volume nobody waits
            order.append("other")
            waits.set()
            hold("data")
            order.append("held")

    waits = threading.Event()
    maker = threading.Thread(target=make)
    with holds.none_new("data"):
        maker.start()
        waits.wait(10)
        maker.join(0.1)
        assert not holds.of("data")
        order.append("gone")
    maker.join(10)
    assert order == ["other", "gone", "held"]
