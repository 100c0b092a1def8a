"""Records behave as dataclasses do where Compose's stages use them."""

import pytest

from wharf.compose.record import Record, field, replace


class Step(Record, frozen=True):
    id: str
    after: tuple[str, ...] = ()
    data: dict[str, int] = field(default_factory=dict)


class Progress(Record):
    done: set[str] = field(default_factory=set)
    running: int = 0


def test_values_come_by_position_name_and_default() -> None:
    step = Step("a", data={"n": 1})
    assert (step.id, step.after, step.data) == ("a", (), {"n": 1})
    assert Step("a").data is not Step("a").data
    assert repr(step) == "Step(id='a', after=(), data={'n': 1})"


def test_equal_by_value_and_class() -> None:
    assert Step("a") == Step("a") != Step("b")
    assert Step("a") != ("a", (), {})
    with pytest.raises(TypeError, match="unhashable"):
        hash(Progress())


def test_frozen_records_are_replaced_not_changed() -> None:
    step = Step("a", ("b",))
    with pytest.raises(AttributeError, match=r"Step\.id cannot be assigned to"):
        step.id = "c"  # type: ignore[misc]
    assert replace(step, id="c") == Step("c", ("b",))
    progress = Progress()
    progress.running += 1
    assert progress == Progress(running=1)


class Named(Record):
    name: str
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen.append(self.name)


def test_a_class_does_something_when_its_values_are_there() -> None:
    assert Named("a").seen == ["a"]
    assert Named("a", ["b"]).seen == ["b", "a"]


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), (("a", (), {}, 1), {}), (("a",), {"id": "b"}), (("a",), {"other": 1})]
)
def test_wrong_fields_are_refused(values: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="field"):
        Step(*values, **named)  # type: ignore[arg-type]
