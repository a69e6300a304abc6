import pytest

from tests.unit.readmission.wire import Wire


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """The HTTP server that every connection of this test ends at."""
    return Wire().install(monkeypatch)
