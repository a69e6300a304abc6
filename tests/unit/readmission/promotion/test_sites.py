from types import SimpleNamespace
from typing import Any

import pytest
from readmission.domain.payloads import PromoteEvent
from readmission.promotion.incumbent import Incumbent
from readmission.promotion.sites import checked, judged_on
from readmission.promotion.verdict import Contender, Verdict
from readmission.registry import names

PROMOTED = Verdict(True, "it is better", "better", {"test": {"rows": 7}})


def run(site: str | None) -> Any:
    return SimpleNamespace(data=SimpleNamespace(tags={names.RECALIBRATED_FOR: site} if site else {}))


def incumbent(site: str) -> Incumbent:
    return Incumbent(Contender("1", "random_forest", "real", site), None, True, frozenset({"real"}))


def event(**more: Any) -> PromoteEvent:
    return PromoteEvent(data_kind="real", models=[], candidates=[], **more)


@pytest.mark.parametrize(
    ("own", "served", "site"),
    [
        (None, "", None),
        ("main", "", "main"),
        (None, "main", "main"),
        ("other", "main", "other"),
        (None, "gone", None),  # all its deliveries were withdrawn
    ],
)
def test_a_recalibration_decides_whose_test_rows_count(own: str | None, served: str, site: str | None) -> None:
    assert judged_on(run(own), incumbent(served), {"main", "other"}) == site


def test_without_a_recalibration_nothing_changes() -> None:
    assert checked(PROMOTED, run(None), None, {"main", "other"}, event()) is PROMOTED
    assert judged_on(run(None), None, {"main"}) is None


def test_the_only_site_needs_no_permission() -> None:
    found = checked(PROMOTED, run("main"), "main", {"main"}, event(reason="many come back"))
    assert found.promoted and found.metrics == {"test": {"rows": 7}, "site": "main"}
    assert found.reason == (
        "it is better; judged on the test rows of the site main alone; recalibrated because: many come back"
    )


def test_other_sites_are_named_and_have_to_be_allowed() -> None:
    refused = checked(PROMOTED, run("main"), "main", {"main", "b", "a"}, event())
    assert (refused.promoted, refused.code, refused.metrics["other_sites"]) == (False, "other_sites", ["a", "b"])
    allowed = checked(PROMOTED, run("main"), "main", {"main", "b", "a"}, event(other_sites=True))
    assert (allowed.promoted, allowed.code) == (True, "better")
    assert "forecasts for a, b have its base rates too, as asked for" in allowed.reason


def test_a_refusal_stays_for_its_own_reason() -> None:
    refused = Verdict(False, "it is worse", "not_better")
    assert checked(refused, run("main"), "main", {"main", "b"}, event()).code == "not_better"


def test_an_ordinary_challenger_of_a_recalibrated_version_needs_no_permission() -> None:
    found = checked(PROMOTED, run(None), "main", {"main", "b"}, event())
    assert found.promoted and found.reason.endswith("judged on the test rows of the site main alone")
