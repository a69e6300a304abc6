"""Every example of the pages about the API, EHRs and scoring jobs, run as it stands there."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from readmission.domain.contract import NAMES
from readmission.pipeline import synthetic
from readmission.pipeline.plan import to_csv

from infra.local.commands import predict
from tests.chaos.system import wait_until
from tests.documents import DOCS, ROOT, blocks, fenced
from tests.e2e.conftest import Application

PAGES = ("api", "ehr", "scoring")
EXAMPLES = [block for page in PAGES for block in blocks(DOCS / f"{page}.md")]
SHELL = [block for block in EXAMPLES if "curl " in block or "make " in block]
SQL = [block for block in EXAMPLES if block.startswith("SELECT ")]
# What the output of an example has, by a text of the example.
OUTPUT = {
    '/cds-services"': "encounter-discharge",
    "/cds-services/readmission-at-discharge": "Readmission within 30 days: ",
    '"$API_URL/feedback"': '{"kept":1}',
    '"$API_URL/jobs"': '"night-2026-11-27"',
    '"$API_URL/predict/batch"': "row,readmitted,",
    '"$API_URL/outcomes"': "stored",
    "make score SOURCE=": "30 forecasts by version",
}
# Without `--fail`, curl succeeds whatever the status is.
SCRIPT = 'curl() {{ command curl --silent --show-error --fail-with-body "$@"; }}\neval "$(make -s env)"\n{block}'
pytestmark = pytest.mark.usefixtures("trained")


@pytest.fixture(scope="module")
def rows(application: Application) -> bytes:
    """A file of stays, which is uploaded too."""
    content = to_csv([NAMES, *_stays(30)]).encode()
    s3 = application.platform.client("s3")
    s3.put_object(Bucket=application.stack.data_bucket, Key="scoring/uploads/tonight.csv", Body=content)
    return content


def _stays(count: int) -> list[list[str]]:
    """Raw encounters of patients who went home."""
    place = NAMES.index("discharge_disposition_id")
    return [[*row[:place], "1", *row[place + 1 :]] for row in synthetic.rows(count, seed=6)]


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.splitlines()[-1][-40:])
def test_a_shell_example_is_answered_as_the_page_says(
    application: Application, rows: bytes, tmp_path: Path, block: str
) -> None:
    file = tmp_path / "tonight.csv"
    file.write_bytes(rows)
    ((delivery,),) = application.platform.query(
        "clean", "SELECT delivery_id FROM delivery WHERE status = 'accepted' ORDER BY delivered_at LIMIT 1"
    )
    # Names of the reader's own.
    given = {"SOURCE=tonight.csv": f"SOURCE='{file}'", "@patients.csv": f"@'{file}'", "5f0e…": delivery}
    for placeholder, own in given.items():
        block = block.replace(placeholder, own)
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", SCRIPT.format(block=block)],
        cwd=ROOT,
        env=os.environ | application.platform.variables,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    expected = [output for text, output in OUTPUT.items() if text in block]
    assert expected, "OUTPUT says what the output of this example has"
    for output in expected:
        assert output in finished.stdout


@pytest.mark.parametrize("block", SQL, ids=lambda block: block[:40])
def test_a_query_finds_the_feedback_of_the_example(application: Application, block: str) -> None:
    given = {"request_id": "query", "outcome": "overridden", "outcome_at": "2026-01-31T12:00:00Z"}
    assert application.call("/feedback", {"feedback": [given | {"reason_code": "declined"}]}).status == 200
    assert wait_until(lambda: ["overridden", "declined", 1] in application.platform.query("clean", block), 90)


@pytest.mark.parametrize("page", ["api", "scoring"])
def test_the_python_examples_run(
    application: Application, rows: bytes, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    for name, value in (
        ("API_URL", application.stack.api_url),
        ("API_KEY", application.stack.api_key),
        ("API_CA", str(application.settings.certificate)),
    ):
        monkeypatch.setenv(name, value)
    (block,) = fenced(DOCS / f"{page}.md", "python")
    with application.client as api:
        names: dict[str, Any] = {"os": os, "api": api, "encounter": predict.SAMPLE, "encounters": [predict.SAMPLE] * 2}
        exec(block, names)
    if page == "scoring":
        assert names["job"]["result"]["answered"] == 30
