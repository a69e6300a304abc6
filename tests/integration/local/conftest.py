"""Platforms that these tests may start, stop and damage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms import Platform, new_platform, prometheus


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Tests leave it in any state. Each test begins with `up`, which must cope with that."""
    # The path is longer than that of a Unix socket may be.
    started = new_platform(
        tmp_path_factory.mktemp("a-deep-checkout") / ("d" * 100) / ".local", PROMETHEUS=prometheus() or "off"
    )
    yield started
    started.run("clean")
    assert started.processes() == []


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Platform]:
    made = new_platform(tmp_path / ".local")
    yield made
    made.run("clean")
    assert made.processes() == []
