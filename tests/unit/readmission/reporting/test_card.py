from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from readmission.reporting import card
from readmission.reporting.facts import Decision, Facts
from readmission.reporting.wording import English

from tests.unit.readmission.reporting.documents import document

FACTS = Facts(
    name="readmission",
    number="7",
    family="gradient_boosting",
    data_kind="real",
    run_id="0123abcd",
    created=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
    tags={"pipeline_run": "run-1", "scorer_sha256": "ab12", "mlflow.user": "somebody"},
    params={"max_iter": "400"},
)
DECISION = Decision("promoted", "version 7 is better than version 6", "7")
FORMS = [card.markdown, card.html, card.description]
both = pytest.mark.parametrize("form", FORMS[:2], ids=["markdown", "html"])
each = pytest.mark.parametrize("form", FORMS, ids=["markdown", "html", "description"])
type Form = Callable[..., str]


@both
@pytest.mark.parametrize(
    "what",
    [
        "version 7",
        "Gradient boosting",
        "2026-11-24 09:30",
        "Intended: ",
        "Not for decisions on treatment",
        "7,000",
        "3,500",
        "1999",
        "death or hospice: 242 rows",
        "0.684 (0.674 to 0.694)",
        "calibration slope",
        "Flagging the highest 10%",
        "too few",
        "0.650 (0.640 to 0.660)",
        "Limits",
        "400",
        "To reproduce",
        "promoted. version 7 is better than version 6.",
    ],
)
def test_the_card_says(form: Form, what: str) -> None:
    assert what in form(FACTS, document(), DECISION)


@both
def test_the_card_counts_the_stays_of_each_site(form: Form) -> None:
    tags, params = {"sites": "default,north"}, {"rows_site_default": "101766", "rows_site_north": "200"}
    text = form(replace(FACTS, tags=tags, params=params), document(), DECISION)
    assert "default: 101,766 stays" in text and "north: 200 stays" in text


@both
@pytest.mark.parametrize(("tags", "command"), [({}, "WORKERS=2;"), ({"rows_limit": "5000"}, "WORKERS=2 ROWS=5000;")])
def test_the_card_of_a_distributed_training_says_how_many_workers_it_needs(
    form: Form, tags: dict[str, str], command: str
) -> None:
    text = form(replace(FACTS, tags={"engine": "lightgbm", "workers": "2", **tags}), document(), DECISION)
    assert f"make train-distributed {command}" in text and "START_AT=train" not in text


@both
def test_the_card_of_an_earlier_release_names_no_site(form: Form) -> None:
    assert "Sites whose stays" not in form(FACTS, document(), DECISION)


REPORT = {
    "total": {
        "rows": 12_345,
        "quarantined": 60,
        "quarantined_share": 0.00486,
        "rules": {"a": 1, "b": 50, "c": 9, "d": 2},
    },
    "batches": {"one": {}, "two": {}},
}


@each
def test_the_card_says_how_the_data_complied_with_its_contract(form: Form) -> None:
    text = form(replace(FACTS, data_report=REPORT), document(), DECISION)
    assert "12,345 rows in 2 batches, 60 of them (0.5%) in quarantine" in text
    assert text.index("b: 50 rows") < text.index("c: 9 rows") < text.index("d: 2 rows")
    assert "a: 1 rows" not in text


@each
def test_a_run_without_a_data_report_has_nothing_about_it_in_its_card(form: Form) -> None:
    assert "in quarantine" not in form(FACTS, document(), DECISION)


@each
def test_data_without_invalid_rows_lists_no_rules(form: Form) -> None:
    total = REPORT["total"] | {"quarantined": 0, "rules": {}}
    text = form(replace(FACTS, data_report=REPORT | {"total": total}), document(), DECISION)
    assert "0 of them" in text and "Rules broken most often" not in text


class CapitalLetters(English):
    """A language whose texts are in capital letters, with a decimal comma."""

    def text(self, key: str, /, **values: Any) -> str:
        return super().text(key, **values).upper()

    def number(self, value: float, digits: int = 0) -> str:
        return super().number(value, digits).replace(".", ",")


@both
def test_the_card_can_be_written_in_another_language(form: Form) -> None:
    text = form(FACTS, document(), DECISION, CapitalLetters())
    assert "INTENDED USE" in text and "0,684 (0,674 TO 0,694)" in text
    assert "Intended use" not in text


@each
def test_synthetic_data_is_stated_first_and_again_later(form: Form) -> None:
    text = form(replace(FACTS, data_kind="synthetic"), document(), DECISION)
    assert text.index("SYNTHETIC DATA") < text.index("Forecasts")
    assert text.count("SYNTHETIC DATA") >= 2
    assert "SYNTHETIC" not in form(FACTS, document(), DECISION)


@both
def test_the_plots_are_named_by_their_path_in_the_artifacts(form: Form) -> None:
    text = form(FACTS, document(), DECISION)
    for name in ("roc", "precision_recall", "reliability", "feature_effect"):
        assert f"plots/{name}.png" in text


@both
def test_mlflows_own_tags_are_left_out(form: Form) -> None:
    assert "somebody" not in form(FACTS, document(), DECISION)


def test_text_from_outside_is_escaped_in_the_page() -> None:
    evil = "<script>alert(1)</script> & <img src=x onerror=1>"
    text = card.html(replace(FACTS, params={"a": evil}), document(), replace(DECISION, reason=evil))
    assert "<script" not in text and "<img src=x" not in text and "&lt;script&gt;" in text


def test_text_from_outside_is_escaped_in_markdown() -> None:
    text = card.markdown(FACTS, document(), replace(DECISION, reason="a|b\n# <b>title</b> [x](http://y) `z`"))
    assert r"a\|b \# \<b\>title\</b\> \[x\](http://y) \`z\`" in text


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head() -> None:
    blocks = [block.splitlines() for block in card.markdown(FACTS, document(), DECISION).split("\n\n")]
    tables = [lines for lines in blocks if lines and lines[0].startswith("|")]
    assert len(tables) == 6
    for lines in tables:
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1


class _Balance(HTMLParser):
    """Keeps track of open tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing_external() -> None:
    text = card.html(FACTS, document(), DECISION)
    balance = _Balance()
    balance.feed(text)
    assert balance.open == []
    assert text.startswith("<!doctype html>") and "http" not in text and "<script" not in text


def test_the_description_fits_the_registry_and_points_to_the_full_card() -> None:
    long = replace(DECISION, reason="because " * 2000)
    for decision in (DECISION, long):
        text = card.description(FACTS, document(), decision)
        assert len(text) <= card.DESCRIPTION_LIMIT
        assert text.endswith("of run 0123abcd.\n")


def test_a_typical_description_is_not_cut() -> None:
    text = card.description(replace(FACTS, data_kind="synthetic"), document(), DECISION)
    assert "## Limits" in text and "less sharp." in text and "plots/" not in text


def test_an_undefined_figure_is_called_undefined() -> None:
    changed = document()
    changed["test"]["metrics"]["early_calibration_slope"] = None
    assert "undefined" in card.markdown(FACTS, changed, DECISION)


@both
def test_the_card_says_how_many_patients_to_call(form: Form) -> None:
    said = form(FACTS, document(), DECISION)
    for what in ("From an early risk of", "15.0%", "5.5 (5.1 to 5.9)", "3.6 (", "decision_curve.png"):
        assert what in said


@both
def test_an_evaluation_of_an_earlier_release_has_a_card_that_says_what_it_lacks(form: Form) -> None:
    earlier = document()
    del earlier["test"]["thresholds"]
    said = form(FACTS, earlier, DECISION)
    assert "an earlier release trained this version" in said and "decision_curve" not in said


@each
def test_a_version_for_one_site_is_marked_as_such(form: Form) -> None:
    facts = replace(FACTS, tags={"recalibrated_for": "main", "recalibrated_from": "6"})
    said = form(facts, document(), DECISION)
    assert "version 6, recalibrated for the site main" in said and "Not for other sites" in said
    assert "FOR ONE SITE" not in form(FACTS, document(), DECISION)
