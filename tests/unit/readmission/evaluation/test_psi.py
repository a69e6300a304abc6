"""The population stability index, and what chance makes of it."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from readmission.evaluation import psi
from readmission.evaluation.arrays import Floats

NANNYML = Path(__file__).parent / "nannyml"


def forecasts(name: str) -> Floats:
    with gzip.open(NANNYML / f"{name}.csv.gz", "rt", newline="") as file:
        return np.array([float(row["p"]) for row in csv.DictReader(file)])


def test_the_index_over_the_references_deciles_is_that_of_the_reference_values() -> None:
    reference, analysis = forecasts("reference"), forecasts("analysis")
    edges = psi.edges_of(reference)
    found = psi.index(psi.counts_of(reference, edges), psi.counts_of(analysis, edges))
    assert found == pytest.approx(0.2411769108, abs=1e-9)


def test_equal_shares_have_no_index_however_many_rows_there_are() -> None:
    assert psi.index(np.array([30.0, 70.0, 0.0]), np.array([3.0, 7.0, 0.0])) == pytest.approx(0)


def test_a_bin_that_one_side_leaves_empty_counts_as_half_a_row_there() -> None:
    # Shares .5/.5 against 1/.0005: (.5 ln 2) + (-.4995 ln .001)
    expected = 0.5 * np.log(2) + (0.0005 - 0.5) * np.log(0.0005 / 0.5)
    assert psi.index(np.array([500.0, 500.0]), np.array([1000.0, 0.0])) == pytest.approx(expected)


def test_without_rows_there_is_no_index() -> None:
    assert psi.index(np.zeros(3), np.ones(3)) == psi.index(np.ones(3), np.zeros(3)) == 0


def test_a_number_with_few_values_has_few_bins_and_a_value_at_an_edge_is_below_it() -> None:
    mostly_none = np.array([0.0] * 85 + [1.0] * 15)
    edges = psi.edges_of(mostly_none)
    assert edges.tolist() == [0.0]
    assert psi.counts_of(np.array([-1.0, 0.0, 0.5, 1.0, 7.0]), edges).tolist() == [2, 3]
    assert psi.edges_of(np.empty(0)).tolist() == []


@pytest.mark.parametrize(("bins", "rows"), [(2, 500), (10, 200), (10, 5000), (25, 1000)])
def test_chance_alone_stays_below_what_is_allowed_for_it(bins: int, rows: int) -> None:
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.full(bins, 5.0))
    allowed = psi.chance(bins, 20_000, rows)
    found = [
        psi.index(random.multinomial(20_000, shares).astype(float), random.multinomial(rows, shares).astype(float))
        for _ in range(500)
    ]
    assert max(found) < allowed
    # Nor is it allowed for more than about three times what 500 tries reach.
    assert allowed < 3 * max(found)


def test_one_bin_knows_no_chance() -> None:
    assert psi.chance(1, 100, 100) == 0
