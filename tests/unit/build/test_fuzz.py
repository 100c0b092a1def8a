"""A short run of the fuzzer with fixed seeds; `make fuzz-build` is the long one."""

from tests.fuzz.build import run


def test_hostile_input_of_builds_is_taken_or_refused() -> None:
    assert run(60, 1, rounds=600) == []
