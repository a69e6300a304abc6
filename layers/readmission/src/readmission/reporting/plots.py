"""The plots of a training run, drawn from its evaluation document; needs no display."""

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from readmission.registry import names

# Okabe and Ito's colours suit colour-blind readers; line styles and markers work in black and white.
_STYLES: Final = {"early": ("#0072B2", "-", "o"), "any": ("#D55E00", "--", "s")}
_QUESTIONS: Final = {"early": "within 30 days", "any": "at any time"}
_GREY: Final = "#666666"
_FEATURES: Final = 20  # shown
_SPLIT: Final = "test"


def draw(document: Mapping[str, Any], model: str, data_kind: str) -> dict[str, bytes]:
    """PNGs, 960 pixels wide, by artifact path. They show the test split, except feature effects (validation)."""
    label = f"{model.replace('_', ' ')}, {data_kind.upper() if data_kind != 'real' else 'real'} data"
    plots: dict[str, Callable[[Figure, Mapping[str, Any], str], None]] = {
        "roc": _roc,
        "precision_recall": _precision_recall,
        "reliability": _reliability,
        "feature_effect": _feature_effect,
    }
    if "thresholds" in document[_SPLIT]:  # not in documents of earlier releases
        plots["decision_curve"] = _decision_curve
    return {names.plot(name): _png(plot, document, label) for name, plot in plots.items()}


def _png(plot: Callable[[Figure, Mapping[str, Any], str], None], document: Mapping[str, Any], label: str) -> bytes:
    figure = Figure(figsize=(8, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    plot(figure, document, label)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _percent_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=12)
    axes.set_ylabel(y, fontsize=12)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)


def _legend(document: Mapping[str, Any], question: str, metric: str) -> str:
    """For example: within 30 days: AUC 0.684 (0.671 to 0.697)."""
    name = {"auc": "AUC", "average_precision": "average precision"}[metric]
    value = document[_SPLIT]["metrics"][f"{metric}_{question}"]
    low, high = document[_SPLIT]["intervals"][f"{metric}_{question}"]
    if None in (value, low, high):
        return f"{_QUESTIONS[question]}: {name} undefined"
    return f"{_QUESTIONS[question]}: {name} {value:.3f} ({low:.3f} to {high:.3f})"


def _roc(figure: Figure, document: Mapping[str, Any], label: str) -> None:
    axes = figure.subplots()
    for question, (colour, line, _) in _STYLES.items():
        points = document[_SPLIT]["curves"][question]["roc"]
        legend = _legend(document, question, "auc")
        axes.plot(points["x"], points["y"], color=colour, linestyle=line, linewidth=2, label=legend)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="chance")
    _percent_axes(axes, "False positive rate (% of those not readmitted)", "True positive rate (% of those readmitted)")
    axes.set(xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    axes.set_title(f"ROC on the test split\n{label}", fontsize=13)
    axes.legend(loc="lower right", fontsize=10)


def _precision_recall(figure: Figure, document: Mapping[str, Any], label: str) -> None:
    axes = figure.subplots()
    for question, (colour, line, _) in _STYLES.items():
        curves = document[_SPLIT]["curves"][question]
        points = curves["precision_recall"]
        legend = _legend(document, question, "average_precision")
        axes.plot(points["x"], points["y"], color=colour, linestyle=line, linewidth=2, label=legend)
        base = curves["base_rate"]
        axes.axhline(base, color=colour, linestyle=":", label=f"{_QUESTIONS[question]}: base rate {base:.1%}")
    _percent_axes(axes, "Recall (% of those readmitted)", "Precision (% of those flagged)")
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    axes.set_title(f"Precision and recall on the test split\n{label}", fontsize=13)
    axes.legend(loc="upper right", fontsize=10)


def _reliability(figure: Figure, document: Mapping[str, Any], label: str) -> None:
    figure.set_figheight(4.8)
    for axes, (question, (colour, _, marker)) in zip(figure.subplots(1, 2), _STYLES.items(), strict=True):
        bins = document[_SPLIT]["curves"][question]["reliability"]
        means, shares = ([one[name] for one in bins] for name in ("probability", "observed"))
        errors = [
            [max(one["observed"] - one["low"], 0) for one in bins],
            [max(one["high"] - one["observed"], 0) for one in bins],
        ]
        top = min(1.0, 1.1 * max(*means, *(one["high"] for one in bins)))
        axes.plot([0, top], [0, top], color=_GREY, linestyle=":", label="perfect")
        axes.errorbar(
            means, shares, errors, color=colour, marker=marker, capsize=3, label="one tenth of the stays, 95 %"
        )
        _percent_axes(axes, "Mean predicted probability (%)", "Observed share (%)")
        axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axes.locator_params(nbins=6)
        axes.set_title(f"Readmitted {_QUESTIONS[question]}\n{_calibration(document, question)}", fontsize=11)
        axes.legend(loc="lower right", fontsize=9)
    figure.suptitle(f"Reliability on the test split, {label}", fontsize=13)


def _decision_curve(figure: Figure, document: Mapping[str, Any], label: str) -> None:
    axes = figure.subplots()
    points = [one for one in document[_SPLIT]["thresholds"]["decision_curve"] if one["net_benefit"] is not None]
    at = [one["threshold"] for one in points]
    benefit, low, high, all_ = (
        [one[name] for one in points] for name in ("net_benefit", "net_benefit_low", "net_benefit_high", "treat_all")
    )
    colour, other = _STYLES["early"][0], _STYLES["any"][0]
    axes.fill_between(at, low, high, color=colour, alpha=0.2, label="95 % interval")
    axes.plot(at, benefit, color=colour, linewidth=2, label="call from this risk on")
    axes.plot(at, all_, color=other, linestyle="--", linewidth=2, label="call everybody")
    axes.axhline(0, color=_GREY, linestyle=":", label="call nobody")
    axes.set_xlabel("Threshold: early risk from which a patient is called (%)", fontsize=12)
    axes.set_ylabel("Net benefit per 100 stays", fontsize=12)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    top = 1.15 * max(0.001, *high)
    axes.set(xlim=(0, max(at)), ylim=(-top / 4, top))
    axes.grid(alpha=0.3)
    axes.set_title(f"Decision curve on the test split, readmitted within 30 days\n{label}", fontsize=13)
    axes.legend(loc="upper right", fontsize=10)


def _calibration(document: Mapping[str, Any], question: str) -> str:
    found = document[_SPLIT]["metrics"]
    slope, ece = found[f"{question}_calibration_slope"], found[f"{question}_ece"]
    return f"slope {'undefined' if slope is None else f'{slope:.2f}'}, ECE {ece:.4f}"


def _feature_effect(figure: Figure, document: Mapping[str, Any], label: str) -> None:
    largest = document["feature_effects"][:_FEATURES][::-1]
    features = [one["feature"].replace("_", " ") for one in largest]
    columns = (
        ("log_loss", "Increase in log loss (nats), three classes", _STYLES["early"][0]),
        ("auc_early", "Decrease in AUC, within 30 days", _STYLES["any"][0]),
    )
    for axes, (column, title, colour) in zip(figure.subplots(1, 2, sharey=True), columns, strict=True):
        values, deviations = ([one[name] for one in largest] for name in (column, f"{column}_deviation"))
        axes.barh(features, values, xerr=deviations, color=colour, error_kw={"ecolor": _GREY, "capsize": 2})
        axes.axvline(0, color=_GREY, linewidth=0.8)
        axes.set_xlabel(title, fontsize=11)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(axis="y", labelsize=9)
        axes.margins(y=0.02)
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(
        f"Effect of shuffling one feature, on validation rows (mean ± standard deviation)\n{label}", fontsize=12
    )
