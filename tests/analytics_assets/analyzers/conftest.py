"""What the tests of the analyzers share."""

import pytest

from resources.lake.lake import Lake


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path)
