from datetime import date

import pytest

from tests.benchmarks import capacity, log_lines, prices
from tests.benchmarks.capacity import Template
from tests.unit.templates import TEMPLATE

KNOWN = Template(
    {"predict": 512, "plan": 512, "train": 3008, "clean": 1769},
    {"ingest": 4, "clean": 4, "train": 3},
    {"ThrottleRate": 200, "ThrottleBurst": 400, "DailyQuota": 1_000_000},
    {"metrics": 1600, "access line": 600},
)
FIGURES = {"row_14": 0.3, "cold": 0.6, "rss": 90.0}
RUN = {"ran_plan": 3.0, "init_plan": 1.0, "pipeline_transitions": 30}


def document(**figures: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"figures": {name: {"ours": value} for name, value in figures.items()}}


def test_a_functions_share_of_a_processor_follows_its_memory_up_to_one() -> None:
    assert KNOWN.share("predict") == pytest.approx(0.2894, abs=1e-4)
    assert (KNOWN.share("clean"), KNOWN.share("train")) == (1, 1)


def test_a_prediction_takes_as_much_longer_as_its_share_is_smaller() -> None:
    found = capacity.prediction(0.447, 0.6, 90, KNOWN)
    assert found.duration_ms == pytest.approx(5.0, abs=0.01)
    assert found.busy_for_100 == pytest.approx(0.5, abs=0.001)


def test_what_is_reserved_is_enough_for_the_time_and_for_lambdas_requests_an_instance() -> None:
    fast, slow = (capacity.prediction(handler, 0.6, 90, KNOWN).reserve_for_100 for handler in (0.3, 99.0))
    assert (fast, slow) == (10, 35)


def test_the_lowest_of_the_quotas_limits() -> None:
    fast, slow = (capacity.prediction(handler, 0.6, 90, KNOWN) for handler in (0.3, 99.0))
    assert (fast.rate, fast.limited_by) == (
        10_000,
        "Lambda's 10 requests a second and instance and API Gateway's quota",
    )
    assert slow.rate == pytest.approx(2894, abs=1)
    assert slow.limited_by == "Lambda's concurrency"


def test_a_million_predictions_cost_the_sum_of_their_parts() -> None:
    found = capacity.prediction(0.447, 0.6, 90, KNOWN)
    compute = 1e6 * 0.005 * 0.5 * 0.0000166667
    assert found.dollars_a_million == pytest.approx(compute + 0.20 + 3.50 + 1.10, abs=0.01)


def test_a_run_costs_by_memory_and_time_and_transitions() -> None:
    dollars = capacity.run_dollars({"clean": 100.0, "plan": 10.0}, {"clean": 0.0, "plan": 2.0}, 2, 40, KNOWN)
    # A smaller function works as much longer, and starts as fast.
    gb_seconds = 100 * 1769 / 1024 + (10 * 1769 / 512 + 2) * 0.5
    assert dollars == pytest.approx(gb_seconds * 0.0000166667 + 2 * 0.2e-6 + 40 * 25e-6)


def test_the_templates_functions_and_the_state_machines_maps_are_found() -> None:
    found = capacity.template()
    assert found.memory["predict"] == 512
    assert set(found.concurrency) == {"ingest", "clean", "train"}
    assert found.throttles["ThrottleRate"] > 0
    assert found.logged == log_lines.by_writer(TEMPLATE)
    assert capacity.connections(found)["clean"] == 2 * found.concurrency["clean"]


def test_the_report_has_figures_and_assumptions() -> None:
    said = capacity.text(document(**FIGURES, **RUN, pipeline_invocations=4), KNOWN)
    assert "200, bursts of 400, 1,000,000 a day" in said
    assert "90 MB of 512: fits" in said and "4 invocations, 30 transitions" in said
    assert all(one in said for one in capacity.ASSUMPTIONS)
    assert "2,200: metrics 1,600, access line 600" in said and "logs $1.10" in said
    assert "transitions" not in capacity.text(document(**FIGURES), KNOWN)
    assert "DOES NOT FIT" in capacity.text(document(**FIGURES | {"rss": 600}), KNOWN)


def test_every_price_has_its_date_and_a_page_of_aws() -> None:
    said = capacity.text(document(**FIGURES), KNOWN)
    assert date.fromisoformat(prices.READ_ON) <= date.today()
    assert prices.READ_ON in said
    for price in prices.ALL:
        assert price.source.startswith("https://aws.amazon.com/") and price.source in said and price.unit in said


def test_a_result_without_the_prediction_part_is_refused() -> None:
    with pytest.raises(SystemExit, match="cold, row_14"):
        capacity.text(document(rss=90), KNOWN)


def test_a_result_with_half_of_a_run_is_refused() -> None:
    with pytest.raises(SystemExit, match="pipeline_invocations"):
        capacity.text(document(**FIGURES, **RUN), KNOWN)
    with pytest.raises(SystemExit, match="init_plan, ran_plan"):
        capacity.text(document(**FIGURES, pipeline_invocations=4, pipeline_transitions=30), KNOWN)
