"""Builds LocalStack's index of all AWS operations once per installation, not once per LocalStack.

    python -m localstack_plugin.service_catalog

builds it; `make setup` runs this. Otherwise LocalStack builds the index at its first request if its FILESYSTEM_ROOT is
new. That takes 5 s of processor time and 340 MB, for the definitions of all AWS services.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from localstack import config
from localstack.aws import spec


def _built() -> Path:
    """In the virtual environment; the name contains the versions of LocalStack and botocore."""
    name: str = spec._get_catalog_filename()
    return Path(sys.prefix) / name


def build() -> None:
    if not _built().exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            file = Path(folder) / "catalog"
            spec.build_service_index_cache(str(file))
            file.rename(_built())


def install() -> None:
    """Copy the index to where LocalStack looks for it. Must run before the first request."""
    cached = Path(config.dirs.cache) / _built().name
    if _built().exists() and not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}")
        shutil.copyfile(_built(), partial)
        partial.rename(cached)


if __name__ == "__main__":
    build()
