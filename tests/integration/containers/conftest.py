"""The images, built from this checkout with buildah, which needs no daemon."""

import os
import shutil
from collections.abc import Callable
from functools import cache

import pytest

from infra.containers import images
from tests.integration.readmission.conftest import snapshots, stores  # noqa: F401  # fixtures

HOW = "sudo apt-get install -y --no-install-recommends buildah debootstrap"


@pytest.fixture(scope="session")
def image() -> Callable[[str], str]:
    """Builds the image of a target, once, and returns its name. Layers that have not changed are reused."""
    if not shutil.which("buildah"):
        if not os.environ.get("CI"):
            pytest.skip(f"buildah is not installed: {HOW}")
        pytest.fail(f"buildah is not installed, and CI needs it: {HOW}")

    @cache
    def built(target: str) -> str:
        images.build(target, "buildah")
        return images.name(target)

    return built
