"""The whole way: platform, application, pipeline, prediction."""

import json
import time
import urllib.parse
import urllib.request
from typing import Any

from infra.local import dataset, deploy, pipeline, up
from infra.local.predict import SAMPLE, certificate, predict
from infra.local.settings import Settings
from infra.local.stack import Stack
from infra.local.terminal import step, table

METRICS = ("test_auc_early", "test_auc_any", "test_auc_macro_ovr", "test_log_loss", "test_accuracy", "test_f1_macro")


def demo(settings: Settings, name: str | None) -> None:
    """Raises LocalError as soon as a step fails."""
    began = time.monotonic()
    up.start(settings)
    stack = deploy.deploy(settings)
    source = dataset.source(settings, stack, name or dataset.default())
    output = pipeline.run(settings, stack, {"source": source})
    models(settings, output)
    show_prediction(settings, stack, SAMPLE)
    print(f"\nAll of it took {time.monotonic() - began:.0f} s.\n\n{next_commands(settings, stack)}")


def models(settings: Settings, output: dict[str, Any]) -> None:
    """What was trained in this execution, and what became of it."""
    if output["data_kind"] == "synthetic":
        print("\nTrained on SYNTHETIC data: these figures say nothing about patients.")
    if candidates := output.get("candidates", []):
        rows = [("model", *(metric.removeprefix("test_") for metric in METRICS))]
        for candidate in candidates:
            found = _metrics(settings, candidate["mlflow_run_id"])
            rows.append((candidate["model"], *(f"{found[metric]:.4f}" for metric in METRICS)))
        print(f"\nOn the test patients (early: within 30 days; any: at all):\n{table(rows)}")
    if promotion := output.get("promotion"):
        print(f"\n{promotion['decision'].capitalize()}: {promotion['reason']}.")


def show_prediction(settings: Settings, stack: Stack, patient: dict[str, Any]) -> None:
    with step("predict", f"POST {stack.api_url}/predict") as outcome:
        answer, _ = predict(settings, stack, patient)
        outcome.text = f"answered by version {answer['model_version']} ({answer['data_kind']} data)"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in sorted(answer["probabilities"].items()))
    print(f"            {json.dumps(patient)}\n            readmitted: {answer['readmitted']}  ({shares})")


def next_commands(settings: Settings, stack: Stack) -> str:
    places = table(
        [
            ("API", stack.api_url, "with the header x-api-key; its pages: /docs"),
            ("key", stack.api_key, ""),
            ("certificate", str(certificate(settings)), "verifies https://localhost"),
            (
                "MLflow",
                settings.mlflow_url,
                f"model {stack.pipeline_arn.rpartition(':')[2].removesuffix('-pipeline')!r}",
            ),
        ]
    )
    return f"""{places}

Next:
  eval "$(make -s env)"            then: curl --cacert "$API_CA" -H "x-api-key: $API_KEY" "$API_URL/health"
  make ui                          the pages: one patient, many, the model, the pipeline, monitoring
  make predict                     the sample patient again, or PATIENT=file.json
  make pipeline DATASET=file.zip   more data: a file, URL, s3://bucket/key or synthetic:rows=50000
  make status                      what runs
  make down                        stop it; make up brings everything back"""


def _metrics(settings: Settings, run_id: str) -> dict[str, float]:
    query = urllib.parse.urlencode({"run_id": run_id})
    with urllib.request.urlopen(f"{settings.mlflow_url}/api/2.0/mlflow/runs/get?{query}", timeout=30) as response:
        return {metric["key"]: metric["value"] for metric in json.load(response)["run"]["data"]["metrics"]}
