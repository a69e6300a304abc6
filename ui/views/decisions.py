"""The decisions of the promotion ledger and their reasons: as recorded, else worded from the recorded figures."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from readmission.client import ChallengerDescription, Decision

from ui.services import reasons
from ui.texts import DASH, Texts

_SUBGROUPS: Final = 3  # at most these are named


def kind(t: Texts, decision: Decision) -> str:
    """What was decided; the ledger's own word if the API is newer than this page."""
    name = t.get(f"decision.{decision['decision'].replace(' ', '_')}", decision["decision"])
    return t("decision.forced", decision=name) if decision.get("forced") else name


def actor(t: Texts, name: str | None) -> str:
    """Who decided, or what did; a person's name is as the ledger has it. Empty if nobody is named."""
    return t.get(f"actor.{name}", name) if name else ""


def challenger(t: Texts, tried: ChallengerDescription) -> str:
    """Which version is tried on live requests, since when, and whom it answers."""
    since = t.moment(datetime.fromisoformat(tried["since"])) if tried["since"] else DASH
    if share := tried["canary_share"]:
        return t("model.challenger_canary", version=tried["version"], since=since, share=t.percent(share, 0))
    return t("model.challenger_shadow", version=tried["version"], since=since)


def reason(t: Texts, decision: Decision, known: Sequence[Decision]) -> str:
    """The reason in the page's language. What a person entered for a rollback stays as entered."""
    if not t.translates:
        return decision["reason"]
    found = reasons.reason(decision, known)
    if found.code == "by_hand":
        entered = t.translation_or(f"no_reason.{decision['reason']}", decision["reason"])
        rollback = decision["decision"] == "rolled back"
        return t.translation("reason.rollback" if rollback else "reason.entered", reason=entered)
    metrics = decision["metrics"]
    loss = (metrics.get("difference") or {}).get("log_loss") or {}
    subgroups = ", ".join(_subgroup(t, name) for name in found.subgroups[:_SUBGROUPS])
    rows = (metrics.get("test") or {}).get("rows")
    text = t.translation(
        f"reason.{found.code}",
        same_rows=t.translation("reason.same_rows", rows=t.number(rows)) if rows else t.translation("reason.same"),
        previous=decision["previous_version"] or DASH,
        difference=_difference(t, loss),
        figures=_figures(t, metrics.get("challenger") or {}),
        subgroups=subgroups,
        live=_live(t, metrics.get("live") or {}),
    )
    if found.code == "not_better" and subgroups:
        text += t.translation("reason.and_worse_in_subgroups", subgroups=subgroups)
    if site := metrics.get("site"):
        text += t.translation("reason.and_for_site", site=site)
    if failed := metrics.get("failed_families"):
        families = ", ".join(f"{t(f'family.{family}')} ({error})" for family, error in failed.items())
        text += t.translation("reason.and_not_trained", families=families)
    return text


def _live(t: Texts, evidence: Mapping[str, Any]) -> str:
    """What the requests show on which the version was tried."""
    parts = [t.translation("reason.forecasts", count=t.number(evidence.get("forecasts") or 0))]
    if errors := evidence.get("errors"):
        named = ", ".join(f"{name}: {t.number(count)}" for name, count in errors.items())
        parts.append(t.translation("reason.errors", errors=named))
    if evidence.get("agreement") is not None:
        parts.append(t.translation("reason.agreement", share=t.percent(evidence["agreement"], 0)))
    if evidence.get("correlation") is not None:
        parts.append(t.translation("reason.correlation", value=t.number(evidence["correlation"], 2)))
    if shift := (evidence.get("shifts") or {}).get("<30"):
        parts.append(t.translation("reason.shift", value=_signed(t, shift["value"])))
    if difference := evidence.get("difference"):
        parts.append(_difference(t, difference))
    return "; ".join(parts)


def _subgroup(t: Texts, name: str) -> str:
    """A subgroup in words; the ledger records its attribute and value, as in `age_band 60 to 79`."""
    attribute, _, group = name.partition(" ")
    attribute, group = t.translation_or(f"attribute.{attribute}", attribute), t.translation_or(f"group.{group}", group)
    return t.translation("reason.subgroup", attribute=attribute, group=group)


def _difference(t: Texts, difference: Mapping[str, Any]) -> str:
    written = {name: _signed(t, difference.get(name)) for name in ("value", "low", "high")}
    return t.translation("reason.difference", **written)


def _signed(t: Texts, value: float | None) -> str:
    return DASH if value is None else t.signed(value, 4)


def _figures(t: Texts, figures: Mapping[str, Any]) -> str:
    digits = {"log_loss": 4, "early_calibration_slope": 2, "early_ece": 3}
    written = {
        name: DASH if figures.get(name) is None else t.number(figures[name], places) for name, places in digits.items()
    }
    return t.translation("reason.figures", **written)
