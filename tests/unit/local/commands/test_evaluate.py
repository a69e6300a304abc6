from types import SimpleNamespace

import pytest

from infra.local.commands import evaluate


@pytest.mark.parametrize(("kind", "warned"), [("synthetic", True), ("real", False)])
def test_figures_of_synthetic_data_are_told_to_be_such(kind: str, warned: bool) -> None:
    found = SimpleNamespace(family="random_forest", rows=1000, patients=700, metrics={"served": [{}, {}]})
    said = evaluate._heading(found, kind)
    assert said.startswith("SYNTHETIC data") == ("SYNTHETIC" in said) == warned
    assert "random_forest on 1,000 encounters of 700 patients, test rows of 2 patient-grouped splits" in said
