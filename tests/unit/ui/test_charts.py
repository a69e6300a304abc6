from datetime import UTC, datetime, timedelta

import pytest

from ui import charts

START = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("length", [4, 40])
def test_a_chart_over_time_is_higher_by_its_legend_so_that_the_same_height_is_left_for_the_plot(
    stacked: bool, length: int
) -> None:
    one, six = (_height(count, length, stacked) for count in (1, 6))
    rows = 3 if length == 4 else 6
    assert six - one == (rows - 1) * charts._LEGEND_ROW_HEIGHT


def _height(count: int, length: int, stacked: bool) -> int:
    """Of a chart with so many series, whose labels have so many characters."""
    rows = [
        {"time": 1000 * START.timestamp(), "label": str(number).rjust(length, "x"), "value": 1, "text": "1"}
        for number in range(count)
    ]
    end, step = START + timedelta(hours=1), timedelta(minutes=1)
    chart = charts.over_time(rows, "requests", start=START, end=end, step=step, stacked=stacked)
    height: int = chart.to_dict()["height"]
    return height
