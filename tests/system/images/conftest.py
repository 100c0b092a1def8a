"""Fixtures of the image tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import image_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """An engine for images in a temporary directory."""
    with image_engine(tmp_path) as made:
        yield made
