"""The example of six months, on a platform of its own, because it needs one without other data."""

import re
from collections.abc import Iterator

import pytest

from infra.local import stack
from infra.local.commands import predict
from infra.local.commands.months import SCHEDULE
from tests.platforms import Platform, new_platform

DATASET = "synthetic:rows=12000,seed=4"
SECONDS = 1800


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = new_platform(tmp_path_factory.mktemp("months") / ".local")
    try:
        yield platform
    finally:
        platform.run("clean")
    assert platform.processes() == []


@pytest.fixture(scope="module")
def said(platform: Platform) -> str:
    return platform.run("example-months", "--dataset", DATASET, seconds=SECONDS)


def _months(said: str) -> dict[str, list[str]]:
    """The lines of the final table by their first cell."""
    table = said[said.index("MONTH") :].split("\n\n")[0].splitlines()[1:]
    cells = [re.split(r"  +", line) for line in table]
    return {line[0]: line[1:] for line in cells}


def test_the_shifted_month_alarms_and_no_other_does(said: str) -> None:
    alerts = {month: cells[1] for month, cells in _months(said).items()}
    shifted = alerts.pop("5 (shifted)")
    assert set(alerts) == {"2", "3", "4", "6"} and set(alerts.values()) == {"none"}, said
    assert "ALERT input drift" in shifted and "num_medications" in shifted and "payer_code" in shifted


def test_the_truth_comes_late_and_confirms_the_estimates(said: str) -> None:
    months = _months(said)
    assert "not known" not in str(months)
    assert [cells[-1] for month, cells in months.items() if "shifted" not in month] == ["yes"] * 4, said
    first_look = next(line for line in said.splitlines() if line.startswith("monitor") and "month 3" in line)
    assert "AUC estimated" in first_look and "realised" not in first_look


def test_the_new_model_is_tried_on_live_requests_before_it_answers(said: str, platform: Platform) -> None:
    assert re.search(r"the first model \.\.\. version 1: promoted", said)
    assert re.search(r"learned from all months \.\.\. version \d+: shadowed", said), said
    assert re.search(r"beside the one that answers \.\.\. promoted by guard", said), said
    with predict.client(platform.settings, stack.get(platform.settings)) as api:
        decisions = [one["decision"] for one in api.history()]
        assert decisions == ["promoted", "shadowed", "promoted"]
        assert api.model()["data_kind"] == api.monitor()["data_kind"] == "synthetic"


def test_the_same_example_again_delivers_and_decides_nothing_again(said: str, platform: Platform) -> None:
    again = platform.run("example-months", "--dataset", DATASET, seconds=SECONDS)
    assert again.count("delivered before") == len(SCHEDULE)
    assert _months(again) == _months(said)
    with predict.client(platform.settings, stack.get(platform.settings)) as api:
        assert len(api.history()) == 3


def test_another_example_on_the_same_platform_is_refused(said: str, platform: Platform) -> None:
    refused = platform.run("example-months", "--dataset", DATASET, "--seed", "2", exit_code=1)
    assert "This platform already has" in refused and "LOCAL_DIR=" in refused
