"""The sections of a model card that list figures from the evaluation document."""

from collections.abc import Mapping
from typing import Any, Final

from readmission.evaluation.workload import Interval, plan
from readmission.registry import names
from readmission.reporting.blocks import Block, Plot, Table, Text
from readmission.reporting.wording import Wording

_SPLITS: Final = ("validation", "test")
_QUESTIONS: Final = ("early", "any")
_SCORES: Final = ("auc", "average_precision", "brier", "log_loss")
_THREE_CLASSES: Final = ("log_loss", "accuracy", "f1_macro", "auc_macro_ovr")
_CALIBRATION: Final = ("calibration_slope", "calibration_intercept", "ece")
_LARGEST_EFFECTS: Final = 10
_CALLED: Final = (5, 10, 20, 30)  # of 100 discharges


def metrics(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """Discrimination and loss, on validation and test."""
    titles = {
        **{
            f"{metric}_{question}": _question(question, metric, wording)
            for question in _QUESTIONS
            for metric in _SCORES
        },
        **{metric: wording.text(f"three_{metric}") for metric in _THREE_CLASSES},
    }
    return [
        _table(evaluation, titles, wording),
        Text(wording.text("intervals", resamples=evaluation["resamples"])),
        _plot("roc", wording),
        _plot("precision_recall", wording),
    ]


def calibration(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """Calibration, and the figures of flagging the highest 10 %."""
    titles = {
        **{
            f"{question}_{metric}": _question(question, metric, wording)
            for question in _QUESTIONS
            for metric in _CALIBRATION
        },
        "top10_ppv": wording.text("top10_ppv"),
        "top10_recall": wording.text("top10_recall"),
    }
    return [_table(evaluation, titles, wording), _plot("reliability", wording)]


def thresholds(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """What a team finds that can call some of 100 discharges, and the decision curve.

    An evaluation of an earlier release does not know, and the card says so.
    """
    test = evaluation["test"]
    if "thresholds" not in test:
        return [Text(wording.text("thresholds_unknown"))]
    columns = ("called", "from_risk", "hits", "misses", "ppv", "to_call")
    points, base_rate = test["thresholds"]["workload"], test["curves"]["early"]["base_rate"]
    plans = [found for calls in _CALLED if (found := plan(points, base_rate, 100, calls))]
    rows = tuple(
        (
            wording.number(one.calls, 1),
            wording.percent(one.threshold),
            interval(one.hits, 1, wording),
            interval(one.misses, 1, wording),
            interval(one.ppv, 3, wording),
            interval(one.to_call, 1, wording),
        )
        for one in plans
    )
    return [
        Text(wording.text("thresholds_text", rate=wording.percent(base_rate))),
        Table(tuple(map(wording.text, columns)), rows),
        Text(wording.text("net_benefit")),
        _plot("decision_curve", wording),
    ]


def subgroups(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """Early readmission by race, gender and age band, on the test split."""
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


def effects(evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """The features with the largest effect."""
    largest = [one["feature"] for one in evaluation["feature_effects"][:_LARGEST_EFFECTS]]
    if not largest:
        return [Text(wording.text("effects_none"))]
    named = ", ".join(wording.known(f"input_{feature}", feature) for feature in largest)
    return [Text(wording.text("effects_largest", features=named)), _plot("feature_effect", wording)]


def percent(share: float | None, wording: Wording) -> str:
    """A share in percent; an empty text for None."""
    return "" if share is None else wording.percent(share)


def interval(found: Interval, digits: int, wording: Wording) -> str:
    """A figure with its interval."""
    if found.value is None:
        return wording.text("undefined")
    value = wording.number(found.value, digits)
    if found.low is None or found.high is None:
        return value
    ends = {"low": wording.number(found.low, digits), "high": wording.number(found.high, digits)}
    return wording.text("figure", value=value, **ends)


def _question(question: str, metric: str, wording: Wording) -> str:
    return wording.text("question", question=wording.text(question), metric=wording.text(metric))


def _plot(name: str, wording: Wording) -> Plot:
    return Plot(names.plot(name), wording.text(f"plot_{name}"))


def _table(evaluation: Mapping[str, Any], titles: Mapping[str, str], wording: Wording) -> Table:
    rows = tuple(
        (title, *(_with_interval(evaluation[split], name, wording) for split in _SPLITS))
        for name, title in titles.items()
    )
    return Table(("", *map(wording.text, _SPLITS)), rows)


def _of_group(one: Mapping[str, Any], wording: Wording) -> tuple[str, ...]:
    if one["too_few"]:
        return (wording.text("too_few"), "", "", "", "")
    return (
        _with_interval(one, "auc_early", wording),
        _with_interval(one, "brier_early", wording),
        wording.signed(one["calibration_in_the_large"], 3),
        percent(one["flagged_share"], wording),
        percent(one["flagged_ppv"], wording),
    )


def _with_interval(found: Mapping[str, Any], name: str, wording: Wording) -> str:
    value, (low, high) = found["metrics"][name], found["intervals"][name]
    if value is None:
        return wording.text("undefined")
    digits = 4 if name.startswith("brier") or name.endswith("ece") else 3
    text = wording.number(value, digits)
    if low is None or high is None:
        return text
    return wording.text("figure", value=text, low=wording.number(low, digits), high=wording.number(high, digits))
