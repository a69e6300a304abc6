"""Layers of another architecture are refused before anything of them is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
from readmission import architecture
from readmission.errors import ConfigurationError

from tests.documents import ROOT


def layer(folder: Path, built_for: str) -> str:
    (folder / "readmission-built-for").write_text(f"{built_for}\n")
    return str(folder)


@pytest.mark.parametrize(
    ("built_for", "machine"), [("x86_64", "x86_64"), ("x86_64", "AMD64"), ("arm64", "aarch64"), ("arm64", "arm64")]
)
def test_layers_of_the_same_architecture_are_accepted(tmp_path: Path, built_for: str, machine: str) -> None:
    architecture.check([layer(tmp_path, built_for)], machine)


@pytest.mark.parametrize(
    ("built_for", "machine", "runs_on"), [("arm64", "x86_64", "x86_64"), ("x86_64", "aarch64", "arm64")]
)
def test_layers_of_another_architecture_are_refused_with_both_remedies(
    tmp_path: Path, built_for: str, machine: str, runs_on: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        architecture.check(["/nowhere", layer(tmp_path, built_for)], machine)
    assert f"ARCHITECTURE={runs_on} sam build" in str(refused.value)
    assert f"Architecture={built_for}" in str(refused.value)


def test_folders_without_layers_are_not_checked(tmp_path: Path) -> None:
    architecture.check(["", str(tmp_path), str(tmp_path / "archive.zip")], "x86_64")


@pytest.mark.parametrize("function", ["predict", "train", "report"])
def test_a_function_refuses_them_before_it_imports_a_compiled_module(tmp_path: Path, function: str) -> None:
    """The layer's compiled packages do not load here: each raises what Python raises for them."""
    for package in ("pydantic_core", "numpy", "pandas", "sklearn", "matplotlib"):
        (tmp_path / f"{package}.py").write_text("raise ImportError('No module named _of_another_architecture')")
    code = f"import sys; sys.path.insert(0, {layer(tmp_path, 'riscv')!r}); import runpy; runpy.run_path('app.py')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "functions" / function, capture_output=True, text=True, check=False
    )
    assert "are built for riscv" in done.stderr and "_of_another_architecture" not in done.stderr
