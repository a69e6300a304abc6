import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import readmission
from readmission.training.code_version import code_version


def _version_in(folder: Path) -> str:
    command = "from readmission.training.code_version import code_version; print(code_version())"
    said = subprocess.run(
        [sys.executable, "-S", "-c", command],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.strip()


def _copy(folder: Path) -> Path:
    return copytree(Path(readmission.__file__).parent, folder / "readmission", ignore=ignore_patterns("__pycache__"))


def test_the_same_source_has_the_same_version_in_any_folder(tmp_path: Path) -> None:
    _copy(tmp_path)
    assert _version_in(tmp_path) == code_version()


def test_a_changed_source_has_another_version(tmp_path: Path) -> None:
    with (_copy(tmp_path) / "domain" / "features.py").open("a") as file:
        file.write("# changed\n")
    assert _version_in(tmp_path) != code_version()
