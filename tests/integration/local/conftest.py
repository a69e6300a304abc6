"""Platforms that these tests may start, stop and damage as they like."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platforms import Platform, new_platform, prometheus


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Tests leave it in any state; `up`, with which each begins, must cope."""
    # Deeper than the path of a Unix socket may be long.
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
