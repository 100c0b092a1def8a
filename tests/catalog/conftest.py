import os
from collections.abc import Iterator

import pytest

from tests.catalog.kit import Catalog
from tests.catalog.kit import catalog as running_catalog


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with running_catalog() as found:
        yield found
