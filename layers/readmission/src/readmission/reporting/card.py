"""The model card of a version (Mitchell et al. 2019), as Markdown, as a page, and short for the registry.

The text is put together once, as sections of blocks without markup; each form escapes what it writes.
"""

import html as escaping
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from readmission.registry import names

DESCRIPTION_LIMIT: Final = 5000  # characters: the column of MLflow's registry
SYNTHETIC: Final = "SYNTHETIC DATA. This model learned from invented patients. Its figures say nothing about real ones."

_ROWS: Final = (
    ("Readmitted within 30 days", "early"),
    ("Readmitted at any time", "any"),
)
_OF_A_QUESTION: Final = (
    ("auc", "AUC"),
    ("average_precision", "average precision"),
    ("brier", "Brier score"),
    ("log_loss", "log loss"),
)
_OF_CALIBRATION: Final = (
    ("calibration_slope", "calibration slope (best 1)"),
    ("calibration_intercept", "calibration intercept (best 0)"),
    ("ece", "expected calibration error"),
)
_RULES_TOLD: Final = 3
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}"
    "img{max-width:100%}.alarm{background:#ffe3d3;border:2px solid #D55E00;padding:.6rem 1rem;font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the registry and the run say of a version."""

    name: str
    number: str
    family: str
    data_kind: str
    run_id: str
    created: datetime
    tags: Mapping[str, str]
    params: Mapping[str, str]
    data_report: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the promotion made of the version."""

    decision: str
    reason: str
    production_version: str


@dataclass(frozen=True, slots=True)
class Alarm:
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    path: str
    says: str


type Block = Alarm | Text | Items | Table | Plot
type Section = tuple[str, list[Block]]


def markdown(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> str:
    """The whole card, its plots by their path in the run's artifacts."""
    return _markdown(_sections(facts, evaluation, decision))


def html(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> str:
    """The whole card as a page that needs nothing but its plots."""
    sections = _sections(facts, evaluation, decision)
    parts = [_html_section(place, title, blocks) for place, (title, blocks) in enumerate(sections)]
    title = escaping.escape(sections[0][0])
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(parts)}</body></html>\n'


def description(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> str:
    """The card without subgroups, plots and training details, short enough for the registry."""
    kept: list[Section] = [
        (title, [block for block in blocks if not isinstance(block, Plot)])
        for title, blocks in _sections(facts, evaluation, decision)
        if title not in ("Subgroups", "Training", "Feature effect")
    ]
    end = f"\nThe whole card: {names.MODEL_CARD_MARKDOWN} and {names.MODEL_CARD_HTML} of run {facts.run_id}.\n"
    return _markdown(kept)[: DESCRIPTION_LIMIT - len(end)] + end


def _sections(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> list[Section]:
    return [
        (f"Model card: {facts.name}, version {facts.number}", _head(facts, decision)),
        ("Intended use", _use()),
        ("Data", _data(facts, evaluation)),
        ("Metrics", _metrics(evaluation)),
        ("Calibration and operating point", _calibration(evaluation)),
        ("Subgroups", _subgroups(evaluation)),
        ("Feature effect", _effects(evaluation)),
        ("Limits", _limits(facts)),
        ("Training", _training(facts)),
    ]


def _head(facts: Facts, decision: Decision) -> list[Block]:
    alarm: list[Block] = [Alarm(SYNTHETIC)] if facts.data_kind != "real" else []
    return [
        *alarm,
        Text(
            f"{facts.family.replace('_', ' ').capitalize()}, registered {facts.created:%Y-%m-%d %H:%M} UTC."
            " Forecasts at discharge whether a diabetic patient is readmitted: within 30 days, later, or not at all."
        ),
        Text(f"Decision: {decision.decision}. {decision.reason}."),
        Text(f"In Production after this decision: version {decision.production_version}."),
    ]


def _use() -> list[Block]:
    return [
        Text("Intended: to help a hospital's team choose whom to follow up after discharge, beside its own judgement."),
        Items(
            (
                "Not for decisions on treatment, discharge, insurance or payment.",
                "Not for patients without diabetes, for children, or for stays that end in death or hospice.",
                "Not for another hospital without an evaluation on its own patients.",
                "No statement of cause: a feature that matters here is no lever.",
            )
        ),
    ]


def _data(facts: Facts, evaluation: Mapping[str, Any]) -> list[Block]:
    classes = evaluation["classes"]
    rows = tuple(
        (split, f"{size['rows']:,}", f"{size['patients']:,}", *(_counted(size, name) for name in classes))
        for split, size in evaluation["splits"].items()
    )
    names = {"<30": "within 30 days", ">30": "later", "NO": "not readmitted"}
    excluded = [f"{reason}: {count:,} rows" for reason, count in evaluation["excluded"].items()]
    source = (
        "Real encounters in the schema of Diabetes 130-US Hospitals 1999-2008 (UCI, CC BY 4.0; Strack et al. 2014)."
        if facts.data_kind == "real"
        else SYNTHETIC
    )
    blocks: list[Block] = [
        Text(source),
        Table(("Split", "Stays", "Patients", *(names.get(name, name) for name in classes)), rows),
        Text("Splits are by patient, by a hash of the patient's number: no patient is in two."),
        *_quality(facts.data_report),
    ]
    return [*blocks, Text("Excluded:"), Items(tuple(excluded))] if excluded else blocks


def _quality(report: Mapping[str, Any] | None) -> list[Block]:
    """How the batches kept to the data contract; nothing of a run of an earlier release."""
    if report is None:
        return []
    total = report["total"]
    text = (
        f"Checked against the data contract: {total['rows']:,} rows in {len(report['batches']):,} batches,"
        f" {total['quarantined']:,} of them ({_percent(total['quarantined_share'])}) in quarantine."
    )
    most_first = sorted(total["rules"].items(), key=lambda one: -one[1])
    rules = tuple(f"{rule}: {count:,} rows" for rule, count in most_first[:_RULES_TOLD])
    blocks: list[Block] = [Text(text)]
    return [*blocks, Text("Most often broken:"), Items(rules)] if rules else blocks


def _counted(size: Mapping[str, Any], name: str) -> str:
    count = size["classes"][name]
    return f"{count:,} ({_percent(count / size['rows'])})"


def _metrics(evaluation: Mapping[str, Any]) -> list[Block]:
    names = (
        *((f"{title}: {label}", f"{metric}_{key}") for title, key in _ROWS for metric, label in _OF_A_QUESTION),
        ("Three classes: log loss", "log_loss"),
        ("Three classes: accuracy", "accuracy"),
        ("Three classes: macro F1", "f1_macro"),
        ("Three classes: AUC, each against the rest", "auc_macro_ovr"),
    )
    return [
        _figures(evaluation, names),
        Text(
            f"In brackets 95 % intervals from a bootstrap over patients ({evaluation['resamples']} resamples)."
            " The validation split also chose the model, so the test split is the one to quote."
        ),
        Plot("plots/roc.png", "ROC curves"),
        Plot("plots/precision_recall.png", "Precision-recall curves"),
    ]


def _calibration(evaluation: Mapping[str, Any]) -> list[Block]:
    names = (
        *((f"{title}: {what}", f"{key}_{metric}") for title, key in _ROWS for metric, what in _OF_CALIBRATION),
        ("Flag the highest 10 %: share of the flagged that return within 30 days (PPV)", "top10_ppv"),
        ("Flag the highest 10 %: share of those who return within 30 days that is flagged (recall)", "top10_recall"),
    )
    return [_figures(evaluation, names), Plot("plots/reliability.png", "Reliability of the probabilities")]


def _figures(evaluation: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> Table:
    splits = ("validation", "test")
    rows = tuple((title, *(_with_interval(evaluation[split], name) for split in splits)) for title, name in names)
    return Table(("", *splits), rows)


def _subgroups(evaluation: Mapping[str, Any]) -> list[Block]:
    head = ("", "Group", "Stays", "Early", "AUC early", "Brier early", "Predicted less observed", "Flagged", "PPV")
    rows = tuple(
        (one["attribute"].replace("_", " "), one["group"], f"{one['rows']:,}", f"{one['early']:,}", *_of_group(one))
        for one in evaluation["test"]["subgroups"]
    )
    return [
        Text(
            "Test split, question: within 30 days. Flagged and PPV are of the one threshold that flags 10 % of all."
            " Fewer than 50 stays or 5 early readmissions are too few for figures."
        ),
        Table(head, rows),
    ]


def _of_group(one: Mapping[str, Any]) -> tuple[str, ...]:
    if one["too_few"]:
        return ("too few", "", "", "", "")
    return (
        _with_interval(one, "auc_early"),
        _with_interval(one, "brier_early"),
        f"{one['calibration_in_the_large']:+.3f}",
        _percent(one["flagged_share"]),
        _percent(one["flagged_ppv"]),
    )


def _effects(evaluation: Mapping[str, Any]) -> list[Block]:
    largest = [one["feature"] for one in evaluation["feature_effects"][:10]]
    if not largest:
        return [Text("Not measured.")]
    return [
        Text(f"The ten that matter most, each shuffled alone: {', '.join(largest)}. Correlated ones share."),
        Plot("plots/feature_effect.png", "Effect of each feature"),
    ]


def _limits(facts: Facts) -> list[Block]:
    items = (
        "The published data is from 130 US hospitals, 1999 to 2008; care, coding and patients have changed since.",
        "Readmissions to hospitals outside the data are not seen and count as none.",
        "Separating early readmissions is hard: honest published AUCs on this data lie between .61 and .69.",
        "Race, gender and age are as recorded; small groups have wide intervals, and a difference there may be chance.",
        "An optional field that is not given counts as unknown, and the forecast is less sharp.",
    )
    return [Items(items if facts.data_kind == "real" else (SYNTHETIC, *items))]


def _training(facts: Facts) -> list[Block]:
    # MLflow's own tags hold paths and users of the machine.
    tags = {name: value for name, value in facts.tags.items() if not name.startswith("mlflow.") and name != "decision"}
    rows = tuple(sorted((tags | dict(facts.params)).items()))
    return [
        Text(f"MLflow run {facts.run_id}; its artifact scorer.json is what is served."),
        Table(("Parameter or tag", "Value"), rows),
        Text("To reproduce: the same release on the same clean rows, make pipeline START_AT=train; seeds are fixed."),
    ]


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    value, (low, high) = found["metrics"][name], found["intervals"][name]
    if value is None:
        return "not defined"
    digits = 4 if name.startswith("brier") or name.endswith("ece") else 3
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def moment(milliseconds: int) -> datetime:
    """MLflow's time as a date."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


# ---------------------------------------------------------------- Markdown
def _markdown(sections: Sequence[Section]) -> str:
    return "\n".join(
        "\n\n".join([f"{'#' if not place else '##'} {_marked(title)}", *map(_markdown_block, blocks)]) + "\n"
        for place, (title, blocks) in enumerate(sections)
    )


def _markdown_block(block: Block) -> str:
    match block:
        case Alarm(text):
            return f"> **{_marked(text)}**"
        case Text(text):
            return _marked(text)
        case Items(items):
            return "\n".join(f"- {_marked(item)}" for item in items)
        case Table(head, rows):
            lines = ["| " + " | ".join(_marked(cell) for cell in line) + " |" for line in (head, *rows)]
            return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
        case Plot(path, says):
            return f"![{_marked(says)}]({path})"


def _marked(text: str) -> str:
    """The text on one line, with nothing in it that Markdown, or HTML in it, would take for its own."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", " ".join(text.split()))


# ---------------------------------------------------------------- HTML
def _html_section(place: int, title: str, blocks: Sequence[Block]) -> str:
    level = "h1" if not place else "h2"
    return f"<{level}>{escaping.escape(title)}</{level}>\n" + "".join(f"{_html_block(block)}\n" for block in blocks)


def _html_block(block: Block) -> str:
    match block:
        case Alarm(text):
            return f'<p class="alarm">{escaping.escape(text)}</p>'
        case Text(text):
            return f"<p>{escaping.escape(text)}</p>"
        case Items(items):
            return f"<ul>{''.join(f'<li>{escaping.escape(item)}</li>' for item in items)}</ul>"
        case Table(head, rows):
            return f"<table>{_html_row('th', head)}{''.join(_html_row('td', row) for row in rows)}</table>"
        case Plot(path, says):
            return f'<p><img src="{escaping.escape(path)}" alt="{escaping.escape(says)}"></p>'


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escaping.escape(cell)}</{tag}>' for cell in cells)}</tr>"
