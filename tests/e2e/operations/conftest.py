"""A deployed application of its own for the tests that operate, break and restart it, beside those that use it."""

import pytest


@pytest.fixture(scope="session")
def diabetes_data() -> None:
    """Synthetic rows suffice for how the application is operated, and train in seconds."""
