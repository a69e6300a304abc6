"""Refuses layers that were built for another processor than the function runs on.

A build for the wrong one (`ARCHITECTURE=… sam build` beside the parameter `Architecture`) deploys without a complaint,
and fails when the first compiled module is imported, with an error that names neither.
"""

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_MARK: Final = "readmission-built-for"
_NAMES: Final = {"aarch64": "arm64", "amd64": "x86_64"}


def check(folders: Sequence[str], machine: str) -> None:
    """Raise `ConfigurationError` if a layer in these folders says that it was built for another `machine`.

    Folders without the mark, such as those of a virtual environment, are not checked.
    """
    runs_on = _NAMES.get(machine.lower(), machine)
    for folder in folders:
        mark = Path(folder, _MARK)
        built_for = mark.read_text().strip() if mark.is_file() else runs_on
        if built_for != runs_on:
            # Imported only here, because the client imports this module too, and needs nothing else of the package.
            from readmission.errors import ConfigurationError

            raise ConfigurationError(
                f"the layers in {folder} are built for {built_for}, but the function runs on {runs_on}: build with"
                f" ARCHITECTURE={runs_on} sam build, or deploy with Architecture={built_for}"
            )


def check_layers() -> None:
    """`check` of all folders that this process imports from."""
    check(sys.path, platform.machine())
