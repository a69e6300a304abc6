"""The plots of a model card in the page's language, drawn from the evaluation document.

The pipeline's own plots (`readmission.reporting.plots`) are pictures with English labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ui import charts, palette
from ui.charts import Chart
from ui.texts import Texts
from ui.views import thresholds

type Plot = Sequence[Chart]
"""Charts that stand side by side."""

_QUESTIONS: Final = ("early", "any")
_SPLIT: Final = "test"
_FEATURES: Final = 20  # shown
_EFFECTS: Final = ("log_loss", "auc_early")


def draw(t: Texts, document: Mapping[str, Any]) -> dict[str, Plot]:
    """The plots by name. They show the test split, except feature effects (validation)."""
    plots = {
        "roc": _roc(t, document),
        "precision_recall": _precision_recall(t, document),
        "reliability": _reliability(t, document),
        "feature_effect": _feature_effect(t, document),
    }
    if found := document[_SPLIT].get("thresholds"):  # not in documents of earlier releases
        plots["decision_curve"] = [thresholds.decision_curve(t, found["decision_curve"])]
    return plots


def input_name(t: Texts, feature: str) -> str:
    """The name of one of the model's inputs."""
    return t.translation_or(f"input.{feature}", "") or t.get(f"field.{feature}", feature)


def _roc(t: Texts, document: Mapping[str, Any]) -> Plot:
    curves = document[_SPLIT]["curves"]
    lines = {_legend(t, document, name, "auc"): curves[name]["roc"] for name in _QUESTIONS}
    chance = {t.translation("plot.chance"): {"x": [0, 1], "y": [0, 1]}}
    return [charts.curves(lines, chance, *_axes(t, "roc"))]


def _precision_recall(t: Texts, document: Mapping[str, Any]) -> Plot:
    curves = document[_SPLIT]["curves"]
    lines = {_legend(t, document, name, "average_precision"): curves[name]["precision_recall"] for name in _QUESTIONS}
    rates = {_base_rate(t, name, curves[name]["base_rate"]): curves[name]["base_rate"] for name in _QUESTIONS}
    levels = {label: {"x": [0, 1], "y": [rate, rate]} for label, rate in rates.items()}
    return [charts.curves(lines, levels, *_axes(t, "precision_recall"))]


def _reliability(t: Texts, document: Mapping[str, Any]) -> Plot:
    bins = {t.translation(f"plot.{name}"): document[_SPLIT]["curves"][name]["reliability"] for name in _QUESTIONS}
    return [charts.reliability(bins, t.translation("plot.perfect"), *_axes(t, "reliability"))]


def _feature_effect(t: Texts, document: Mapping[str, Any]) -> Plot:
    largest = document["feature_effects"][:_FEATURES]
    return [
        charts.effects(
            [
                {
                    "name": input_name(t, one["feature"]),
                    "value": one[effect],
                    "low": one[effect] - one[f"{effect}_deviation"],
                    "high": one[effect] + one[f"{effect}_deviation"],
                    "text": t.number(one[effect], 4),
                }
                for one in largest
            ],
            t.translation(f"plot.{effect}"),
            color,
        )
        for effect, color in zip(_EFFECTS, (palette.BLUE, palette.VERMILION), strict=True)
    ]


def _axes(t: Texts, name: str) -> tuple[str, str]:
    return t.translation(f"plot.{name}_x"), t.translation(f"plot.{name}_y")


def _legend(t: Texts, document: Mapping[str, Any], question: str, metric: str) -> str:
    """For example: en 30 días: AUC 0,684 (de 0,671 a 0,697)."""
    value = document[_SPLIT]["metrics"][f"{metric}_{question}"]
    low, high = document[_SPLIT]["intervals"][f"{metric}_{question}"]
    if None in (value, low, high):
        figure = t.translation("card.undefined")
    else:
        values = {name: t.number(one, 3) for name, one in (("value", value), ("low", low), ("high", high))}
        figure = t.translation("card.figure", **values)
    return t.translation(f"plot.{metric}", question=t.translation(f"plot.{question}"), value=figure)


def _base_rate(t: Texts, question: str, share: float) -> str:
    return t.translation("plot.base_rate", question=t.translation(f"plot.{question}"), share=t.percent(share))
