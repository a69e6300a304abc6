"""The sections of a model card that describe a version, its data and its use in words."""

from collections.abc import Mapping
from typing import Any, Final

from readmission.registry import names
from readmission.reporting.blocks import Alarm, Block, Items, Table, Text
from readmission.reporting.facts import Decision, Facts
from readmission.reporting.figures import percent
from readmission.reporting.wording import Wording

_MOST_BROKEN_RULES: Final = 3


def overview(facts: Facts, decision: Decision, wording: Wording) -> list[Block]:
    """What the model is, and the decision about it; with an alarm for synthetic data."""
    alarm: list[Block] = [Alarm(wording.text("synthetic"))] if facts.data_kind != "real" else []
    family = wording.known(f"family_{facts.family}", facts.family.replace("_", " ").capitalize())
    taken = wording.known(f"decision_{decision.decision}", decision.decision)
    return [
        *alarm,
        *_recalibrated(facts, wording),
        Text(wording.text("head", family=family, created=f"{facts.created:%Y-%m-%d %H:%M}")),
        Text(wording.text("decision", decision=taken, reason=decision.reason)),
        Text(wording.text("production", version=decision.production_version)),
    ]


def _recalibrated(facts: Facts, wording: Wording) -> list[Block]:
    """An alarm for a model that is for one site."""
    if site := facts.tags.get(names.RECALIBRATED_FOR):
        source = facts.tags.get(names.RECALIBRATED_FROM, "")
        return [Alarm(wording.text("recalibrated", site=site, version=source))]
    return []


def intended_use(wording: Wording) -> list[Block]:
    """Who should use the model for what, and who should not."""
    excluded = ("use_not_decisions", "use_not_patients", "use_not_elsewhere", "use_not_cause")
    return [Text(wording.text("use_intended")), Items(tuple(map(wording.text, excluded)))]


def data(facts: Facts, evaluation: Mapping[str, Any], wording: Wording) -> list[Block]:
    """Source, splits, compliance with the data contract, and exclusions."""
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
        *_sites(facts, wording),
        Text(wording.text("by_patient")),
        *_quality(facts.data_report, wording),
    ]
    return [*blocks, Text(wording.text("excluded")), Items(excluded)] if excluded else blocks


def limits(facts: Facts, wording: Wording) -> list[Block]:
    """What to keep in mind when reading a forecast."""
    synthetic = ("synthetic",) if facts.data_kind != "real" else ()
    limits = ("limit_period", "limit_elsewhere", "limit_separation", "limit_groups", "limit_optional")
    return [Items(tuple(map(wording.text, (*synthetic, *limits))))]


def training(facts: Facts, wording: Wording) -> list[Block]:
    """The run's tags and parameters, and how to reproduce it."""
    # MLflow's own tags hold paths and user names of the machine that ran the training.
    tags = {
        name: value for name, value in facts.tags.items() if not name.startswith("mlflow.") and name != names.DECISION
    }
    rows = tuple(sorted((tags | dict(facts.params)).items()))
    return [
        Text(wording.text("run", run=facts.run_id, scorer=names.SCORER)),
        Table((wording.text("parameter"), wording.text("value")), rows),
        Text(_reproduction(facts, wording)),
    ]


def _reproduction(facts: Facts, wording: Wording) -> str:
    if workers := facts.tags.get(names.WORKERS):
        limit = f" ROWS={facts.tags[names.ROWS_LIMIT]}" if names.ROWS_LIMIT in facts.tags else ""
        return wording.text("reproduce_distributed", workers=workers, limit=limit)
    return wording.text("reproduce", version=facts.number)


def _sites(facts: Facts, wording: Wording) -> list[Block]:
    """The sites whose stays the model learned from; nothing for a run of an earlier release."""
    sites = [site for site in facts.tags.get(names.SITES, "").split(",") if site]
    counted = [
        wording.text("site_rows", site=site, count=wording.number(int(facts.params.get(f"rows_site_{site}", "0"))))
        for site in sites
    ]
    return [Text(wording.text("sites")), Items(tuple(counted))] if counted else []


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
        share=percent(total["quarantined_share"], wording),
    )
    most_first = sorted(total["rules"].items(), key=lambda one: -one[1])
    rules = tuple(
        wording.text("rule", rule=rule, column=rule.partition(":")[0], count=wording.number(count))
        for rule, count in most_first[:_MOST_BROKEN_RULES]
    )
    return [Text(text), Text(wording.text("most_broken")), Items(rules)] if rules else [Text(text)]


def _counted(size: Mapping[str, Any], name: str, wording: Wording) -> str:
    count = size["classes"][name]
    return f"{wording.number(count)} ({percent(count / size['rows'], wording)})"
