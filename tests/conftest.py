"""Fixtures that many tests share. Session fixtures are read-only."""

import pytest

from tests.models import small_loaded


@pytest.fixture(scope="session")
def loaded():
    """A small instrumentable model."""
    return small_loaded()
