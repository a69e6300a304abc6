from types import SimpleNamespace

import pytest

from infra.local.commands import evaluate


@pytest.mark.parametrize(("kind", "warned"), [("synthetic", True), ("real", False)])
def test_metrics_of_synthetic_data_come_with_a_warning(kind: str, warned: bool) -> None:
    found = SimpleNamespace(family="random_forest", rows=1000, patients=700, metrics={"served": [{}, {}]})
    said = evaluate._heading(found, kind)
    assert said.startswith("SYNTHETIC data") == ("SYNTHETIC" in said) == warned
    assert "random_forest on 1,000 encounters of 700 patients, test metrics over 2 patient-grouped folds" in said
