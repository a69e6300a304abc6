"""The reasons of decisions, derived from the ledger's figures and worded in Spanish."""

from typing import Any, get_args

import pytest
from readmission.client import Decision
from readmission.promotion.reasons import Code

from tests.unit.ui.fakes import decision
from ui.services import reasons
from ui.texts import Texts
from ui.views import decisions

BETTER = {"value": -0.02, "low": -0.03, "high": -0.01}
EQUAL = {"value": 0.0, "low": -0.001, "high": 0.001}
LOSS = {"value": -0.04, "low": -0.06, "high": -0.02}
FIGURES = {"log_loss": 0.87654, "auc_early": 0.66, "early_calibration_slope": 0.974, "early_ece": None}


def line(number: int, version: str, before: str | None, kind: str = "promoted", **metrics: Any) -> Decision:
    found: Decision = {**decision(version, before, kind, **metrics), "id": number}  # type: ignore[typeddict-item]
    return found


def synthetic(one: Decision) -> Decision:
    return {**one, "data_kind": "synthetic"}


def measured(log_loss: dict[str, float], subgroups: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"challenger": FIGURES, "difference": {"log_loss": log_loss, "subgroups": subgroups or {}}}


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("by_hand", [line(2, "1", "2", "rolled back")]),
        ("first", [line(1, "1", None, challenger=FIGURES)]),
        ("better", [line(2, "2", "1", **measured(BETTER))]),
        ("newer", [line(2, "2", "1", **measured(EQUAL))]),
        ("not_better", [line(2, "2", "1", "refused", **measured(EQUAL, {"gender Male": LOSS}))]),
        ("worse_in_subgroups", [line(2, "2", "1", "refused", **measured(BETTER, {"gender Male": LOSS}))]),
        ("not_better", [line(2, "2", "1", "refused", **measured(BETTER))]),
        ("miscalibrated", [line(2, "2", "1", "refused", challenger=FIGURES)]),
        ("real_over_synthetic", [line(2, "2", "1", challenger=FIGURES), synthetic(line(1, "1", None))]),
        ("previous_unusable", [line(2, "2", "1", challenger=FIGURES), line(1, "1", None)]),
        ("synthetic_over_real", [synthetic(line(2, "2", "1", "refused")), line(1, "1", None)]),
        (
            "rolled_back_before",
            [line(3, "2", "1", "refused"), line(2, "1", "2", "rolled back"), line(1, "2", "1")],
        ),
        (
            "unusable",
            [
                line(4, "2", "1", "refused"),
                line(3, "2", "1", "rolled back"),
                line(2, "1", "2", "rolled back"),
                line(1, "2", "1"),
            ],
        ),
        ("unusable", [line(2, "2", "1", "refused"), line(1, "1", None)]),
    ],
)
def test_the_reason_follows_from_the_ledgers_figures(code: str, known: list[Decision]) -> None:
    assert reasons.reason(known[0], known).code == code
    assert decisions.reason(Texts("es"), known[0], known)
    assert decisions.reason(Texts("en"), known[0], known) == known[0]["reason"]


def test_figures_and_subgroups_are_written_in_spanish() -> None:
    worse = {"gender Male": LOSS, "age_band 60 to 79": {**LOSS, "value": -0.05}, "race Asian": EQUAL}
    known = [line(2, "2", "1", "refused", **measured(BETTER, worse)), line(1, "1", None, challenger=FIGURES)]
    t = Texts("es")
    assert decisions.reason(t, known[0], known) == (
        "Menor AUC que la versión 1, en las mismas filas de prueba, en estos grupos: edad: de 60 a 79, sexo: hombre"
    )
    assert decisions.reason(t, known[1], known) == (
        "Primera versión. En las filas de prueba: pérdida logarítmica, 0,8765; pendiente de calibración, 0,97; "
        "error de calibración, \N{EN DASH}"
    )


@pytest.mark.parametrize("code", get_args(Code.__value__))
def test_a_recorded_code_needs_no_derivation(code: Any) -> None:
    one: Decision = {**line(2, "2", "1", **measured(BETTER)), "reason_code": code}
    assert reasons.reason(one, [one]).code == code
    assert decisions.reason(Texts("es"), one, [one])


def test_a_code_of_a_newer_release_is_derived_from_the_figures() -> None:
    one: Decision = {**line(2, "2", "1", **measured(BETTER)), "reason_code": "of_a_newer_release"}
    assert reasons.reason(one, [one]).code == "better"


def test_the_reason_says_on_how_many_common_test_rows_both_were_compared() -> None:
    one = line(2, "2", "1", **measured(BETTER), test={"rows": 14617, "patients": 10727, "early": 1600})
    assert decisions.reason(Texts("es"), one, [one]).startswith(
        "Mejor que la versión 1 en las mismas 14\N{NARROW NO-BREAK SPACE}617 filas de prueba: diferencia de pérdida"
    )


@pytest.mark.parametrize("recorded", ["no reason given", "asked for"])
def test_a_rollback_without_a_reason_says_so(recorded: str) -> None:
    rollback: Decision = {**line(2, "1", "2", "rolled back"), "reason": recorded}
    assert decisions.reason(Texts("es"), rollback, [rollback]) == "Reversión: sin motivo indicado"


def test_what_a_person_wrote_is_not_translated() -> None:
    rollback = {**line(2, "1", "2", "rolled back"), "reason": "calibration drifts"}
    assert decisions.reason(Texts("es"), rollback, [rollback]) == "Reversión: calibration drifts"  # type: ignore[arg-type,list-item]
