"""The model card of a version (Mitchell et al. 2019): as Markdown, as HTML, and as a short registry description.

The card is composed once, as sections of blocks without markup, in the language of a `Wording`; each form escapes its
own output.
"""

import html as escaping
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from readmission.registry import names
from readmission.reporting.wording import ENGLISH, Wording

DESCRIPTION_LIMIT: Final = 5000  # characters: the column of MLflow's registry

_QUESTIONS: Final = ("early", "any")
_SCORES: Final = ("auc", "average_precision", "brier", "log_loss")
_THREE_CLASSES: Final = ("log_loss", "accuracy", "f1_macro", "auc_macro_ovr")
_CALIBRATION: Final = ("calibration_slope", "calibration_intercept", "ece")
_MOST_BROKEN_RULES: Final = 3
_LARGEST_EFFECTS: Final = 10
# Left out of the registry's description.
_DETAILS: Final = frozenset({"subgroups", "effects", "training"})
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}"
    "img{max-width:100%}.alarm{background:#ffe3d3;border:2px solid #D55E00;padding:.6rem 1rem;font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What MLflow's registry and the training run say about a version."""

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
    """What the promotion decided about the version."""

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


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    blocks: list[Block]


def markdown(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording = ENGLISH) -> str:
    """The whole card; its plots are named by their path in the run's artifacts."""
    return _markdown(_sections(facts, evaluation, decision, wording))


def html(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording = ENGLISH) -> str:
    """The whole card as a page that needs only its plots."""
    sections = _sections(facts, evaluation, decision, wording)
    parts = [_html_section(index, section) for index, section in enumerate(sections)]
    title = escaping.escape(sections[0].title)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    body = "".join(parts)
    return f'<!doctype html>\n<html lang="{wording.language}"><head>{head}</head><body>\n{body}</body></html>\n'


def description(facts: Facts, evaluation: Mapping[str, Any], decision: Decision) -> str:
    """The English card without subgroups, plots and training details, short enough for the registry."""
    kept = [
        Section(section.key, section.title, [block for block in section.blocks if not isinstance(block, Plot)])
        for section in _sections(facts, evaluation, decision, ENGLISH)
        if section.key not in _DETAILS
    ]
    forms = {"markdown": names.MODEL_CARD_MARKDOWN, "html": names.MODEL_CARD_HTML}
    end = f"\n{ENGLISH.text('whole_card', run=facts.run_id, **forms)}\n"
    return _markdown(kept)[: DESCRIPTION_LIMIT - len(end)] + end


def _sections(facts: Facts, evaluation: Mapping[str, Any], decision: Decision, wording: Wording) -> list[Section]:
    title = wording.text("title", name=facts.name, version=facts.number)
    blocks: dict[str, list[Block]] = {
        "use": _use(wording),
        "data": _data(facts, evaluation, wording),
        "metrics": _metrics(evaluation, wording),
        "calibration": _calibration(evaluation, wording),
        "subgroups": _subgroups(evaluation, wording),
        "effects": _effects(evaluation, wording),
        "limits": _limits(facts, wording),
        "training": _training(facts, wording),
    }
    head = Section("title", title, _head(facts, decision, wording))
    return [head, *(Section(key, wording.text(key), found) for key, found in blocks.items())]


def _head(facts: Facts, decision: Decision, wording: Wording) -> list[Block]:
    alarm: list[Block] = [Alarm(wording.text("synthetic"))] if facts.data_kind != "real" else []
    family = wording.known(f"family_{facts.family}", facts.family.replace("_", " ").capitalize())
    taken = wording.known(f"decision_{decision.decision}", decision.decision)
    return [
        *alarm,
        Text(wording.text("head", family=family, created=f"{facts.created:%Y-%m-%d %H:%M}")),
        Text(wording.text("decision", decision=taken, reason=decision.reason)),
        Text(wording.text("production", version=decision.production_version)),
    ]


def _use(wording: Wording) -> list[Block]:
    excluded = ("use_not_decisions", "use_not_patients", "use_not_elsewhere", "use_not_cause")
    return [Text(wording.text("use_intended")), Items(tuple(map(wording.text, excluded)))]


def _data(facts: Facts, evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    classes = evaluation["classes"]
    head = ("split", "stays", "patients", *(f"class_{name}" for name in classes))
    rows = tuple(
        (
            wording.text(split),
            wording.number(size["rows"]),
            wording.number(size["patients"]),
            *(_counted(size, name, wording) for name in classes),
        )
        for split, size in evaluation["splits"].items()
    )
    excluded = tuple(
        wording.text("excluded_rows", reason=wording.known(f"excluded_{reason}", reason), count=wording.number(count))
        for reason, count in evaluation["excluded"].items()
    )
    blocks: list[Block] = [
        Text(wording.text("data_real" if facts.data_kind == "real" else "synthetic")),
        Table(tuple(map(wording.text, head)), rows),
        Text(wording.text("by_patient")),
        *_quality(facts.data_report, wording),
    ]
    return [*blocks, Text(wording.text("excluded")), Items(excluded)] if excluded else blocks


def _quality(report: Mapping[str, Any] | None, wording: Wording) -> list[Block]:
    """How many rows broke the data contract; nothing for a run of an earlier release."""
    if report is None:
        return []
    total = report["total"]
    text = wording.text(
        "contract",
        rows=wording.number(total["rows"]),
        batches=wording.number(len(report["batches"])),
        quarantined=wording.number(total["quarantined"]),
        share=_percent(total["quarantined_share"], wording),
    )
    most_first = sorted(total["rules"].items(), key=lambda one: -one[1])
    rules = tuple(
        wording.text("rule", rule=rule, column=rule.partition(":")[0], count=wording.number(count))
        for rule, count in most_first[:_MOST_BROKEN_RULES]
    )
    return [Text(text), Text(wording.text("most_broken")), Items(rules)] if rules else [Text(text)]


def _counted(size: Mapping[str, Any], name: str, wording: Wording) -> str:
    count = size["classes"][name]
    return f"{wording.number(count)} ({_percent(count / size['rows'], wording)})"


def _metrics(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    titles = {
        **{
            f"{metric}_{question}": _question(question, metric, wording)
            for question in _QUESTIONS
            for metric in _SCORES
        },
        **{metric: wording.text(f"three_{metric}") for metric in _THREE_CLASSES},
    }
    return [
        _figures(evaluation, titles, wording),
        Text(wording.text("intervals", resamples=evaluation["resamples"])),
        _plot("roc", wording),
        _plot("precision_recall", wording),
    ]


def _calibration(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    titles = {
        **{
            f"{question}_{metric}": _question(question, metric, wording)
            for question in _QUESTIONS
            for metric in _CALIBRATION
        },
        "top10_ppv": wording.text("top10_ppv"),
        "top10_recall": wording.text("top10_recall"),
    }
    return [_figures(evaluation, titles, wording), _plot("reliability", wording)]


def _question(question: str, metric: str, wording: Wording) -> str:
    return wording.text("question", question=wording.text(question), metric=wording.text(metric))


def _plot(name: str, wording: Wording) -> Plot:
    return Plot(names.plot(name), wording.text(f"plot_{name}"))


def _figures(evaluation: Mapping[str, Any], titles: Mapping[str, str], wording: Wording) -> Table:
    splits = ("validation", "test")
    rows = tuple(
        (title, *(_with_interval(evaluation[split], name, wording) for split in splits))
        for name, title in titles.items()
    )
    return Table(("", *map(wording.text, splits)), rows)


def _subgroups(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    columns = ("group", "stays", "early_count", "auc_early", "brier_early", "in_the_large", "flagged", "ppv")
    rows = tuple(
        (
            wording.known(f"attribute_{one['attribute']}", one["attribute"].replace("_", " ")),
            wording.known(f"group_{one['group']}", one["group"]),
            wording.number(one["rows"]),
            wording.number(one["early"]),
            *_of_group(one, wording),
        )
        for one in evaluation["test"]["subgroups"]
    )
    return [Text(wording.text("subgroups_text")), Table(("", *map(wording.text, columns)), rows)]


def _of_group(one: Mapping[str, Any], wording: Wording) -> tuple[str, ...]:
    if one["too_few"]:
        return (wording.text("too_few"), "", "", "", "")
    return (
        _with_interval(one, "auc_early", wording),
        _with_interval(one, "brier_early", wording),
        wording.signed(one["calibration_in_the_large"], 3),
        _percent(one["flagged_share"], wording),
        _percent(one["flagged_ppv"], wording),
    )


def _effects(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    largest = [one["feature"] for one in evaluation["feature_effects"][:_LARGEST_EFFECTS]]
    if not largest:
        return [Text(wording.text("effects_none"))]
    return [Text(wording.text("effects_largest", features=", ".join(largest))), _plot("feature_effect", wording)]


def _limits(facts: Facts, wording: Wording) -> list[Block]:
    synthetic = ("synthetic",) if facts.data_kind != "real" else ()
    limits = ("limit_period", "limit_elsewhere", "limit_separation", "limit_groups", "limit_optional")
    return [Items(tuple(map(wording.text, (*synthetic, *limits))))]


def _training(facts: Facts, wording: Wording) -> list[Block]:
    # MLflow's own tags hold paths and user names of the machine that ran the training.
    tags = {
        name: value for name, value in facts.tags.items() if not name.startswith("mlflow.") and name != names.DECISION
    }
    rows = tuple(sorted((tags | dict(facts.params)).items()))
    return [
        Text(wording.text("run", run=facts.run_id, scorer=names.SCORER)),
        Table((wording.text("parameter"), wording.text("value")), rows),
        Text(wording.text("reproduce")),
    ]


def _with_interval(found: Mapping[str, Any], name: str, wording: Wording) -> str:
    value, (low, high) = found["metrics"][name], found["intervals"][name]
    if value is None:
        return wording.text("undefined")
    digits = 4 if name.startswith("brier") or name.endswith("ece") else 3
    text = wording.number(value, digits)
    if low is None or high is None:
        return text
    return wording.text("figure", value=text, low=wording.number(low, digits), high=wording.number(high, digits))


def _percent(share: float | None, wording: Wording) -> str:
    return "" if share is None else wording.percent(share)


# ---------------------------------------------------------------- Markdown
def _markdown(sections: Sequence[Section]) -> str:
    parts = []
    for index, section in enumerate(sections):
        heading = f"{'##' if index else '#'} {_marked(section.title)}"
        parts.append("\n\n".join([heading, *map(_markdown_block, section.blocks)]) + "\n")
    return "\n".join(parts)


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
    """The text on one line, with Markdown and HTML characters escaped."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", " ".join(text.split()))


# ---------------------------------------------------------------- HTML
def _html_section(index: int, section: Section) -> str:
    level = "h2" if index else "h1"
    blocks = "".join(f"{_html_block(block)}\n" for block in section.blocks)
    return f"<{level}>{escaping.escape(section.title)}</{level}>\n{blocks}"


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
