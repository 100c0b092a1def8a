"""`--gpus`: what docker 28.5 sends for the same words."""

from typing import Any

import pytest

from wharf.cli.gpus import request

PLAIN: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("all", {"Count": -1}),
        ("2", {"Count": 2}),
        ("count=all", {"Count": -1}),
        ("device=0", {"DeviceIDs": ["0"]}),
        ('"device=0,GPU-3"', {"DeviceIDs": ["0", "GPU-3"]}),
        ("driver=nvidia", {"Driver": "nvidia", "Count": 1}),
        ('all,"capabilities=compute,utility"', {"Count": -1, "Capabilities": [["compute", "utility", "gpu"]]}),
        ('all,"options=a=1,b=2"', {"Count": -1, "Options": {"a": "1", "b": "2"}}),
    ],
)
def test_a_request(text: str, changed: dict[str, Any]) -> None:
    assert request(text) == {**PLAIN, **changed}


@pytest.mark.parametrize("text", ["some", "count=x", "all,all", "color=red"])
def test_no_request(text: str) -> None:
    with pytest.raises(ValueError, match=r"integer|only once|unexpected key"):
        request(text)
