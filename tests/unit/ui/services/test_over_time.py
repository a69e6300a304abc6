import json

import pytest

from tests.unit.ui import monitored
from ui.services import over_time
from ui.services.over_time import Figure, Input


def test_a_document_is_read_as_it_was_written() -> None:
    found = over_time.read(json.loads(json.dumps(monitored.document())))
    assert (found.started_by, found.kinds(), found.psi_limit) == ("schedule", ["delivery"], 0.25)
    assert [window.name for window in found.windows] == [f"execution-{number}" for number in range(1, 7)]
    assert [one["delivery_id"] for one in found.deliveries] == [f"execution-{number}" for number in range(6, 0, -1)]
    fifth = found.windows[4]
    assert (fifth.labels, fifth.quality["realised"], fifth.forecast_psi) == (0, {}, 0.31)
    assert [alert.subject for alert in fifth.alerts][:3] == ["num_medications", "payer_code", "payer_code"]
    assert [one.name for one in fifth.inputs or () if one.beyond] == ["num_medications", "payer_code"]
    assert [window.name for window in found.now()] == ["execution-6"]


def test_the_realised_figure_comes_before_the_estimated_one() -> None:
    windows = over_time.read(monitored.document()).windows
    source, figure = windows[0].newest_quality("auc_early") or ("", Figure(0.0))
    assert (source, figure.value) == ("realised", pytest.approx(0.664))
    source, figure = windows[-1].newest_quality("auc_early") or ("", Figure(0.0))
    assert (source, figure.value) == ("estimated", pytest.approx(0.67))


def test_what_the_monitor_could_not_tell_is_left_out() -> None:
    document = monitored.document()
    none = {"value": None, "low": None, "high": None}
    document["windows"] = [
        monitored.window(1)
        | {"realised": {"auc_early": none}, "estimated": {"auc_early": {"value": 0.6}}, "drift": None, "groups": None}
    ]
    (window,) = over_time.read(document | {"limits": None, "deliveries": None}).windows
    assert window.quality == {"realised": {}, "estimated": {"auc_early": Figure(0.6)}}
    assert (window.inputs, window.forecast_psi, window.groups) == (None, None, ())


def test_the_worst_inputs_come_first_and_those_without_an_index_last() -> None:
    inputs = [Input(name, psi, None, None, ()) for name, psi in {"a": 0.1, "b": None, "c": 0.3, "d": 0.1}.items()]
    assert [one.name for one in over_time.worst(inputs, 3)] == ["c", "a", "d"]
    assert [one.name for one in over_time.worst(inputs, 9)][-1] == "b"


def test_without_limits_in_the_document_there_is_none() -> None:
    assert over_time.read(monitored.document() | {"limits": None}).psi_limit is None


@pytest.mark.parametrize("document", [{}, {"windows": [{}], "made_at": "2026-11-27T06:10:00Z", "data_kind": "real"}])
def test_what_is_no_document_of_the_monitor_is_not_taken_for_one(document: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        over_time.read(document)
