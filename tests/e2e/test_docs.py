"""The commands of the documentation, run as they stand there."""

import json
import os
import re
import subprocess

from tests.documents import README, ROOT
from tests.e2e.conftest import Application, Trained


def test_the_request_of_the_readme_is_answered(application: Application, trained: Trained) -> None:
    (block,) = re.findall(r"```bash\n(.*?)```", README.read_text(), re.DOTALL)
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env=os.environ | application.platform.variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(finished.stdout)["readmitted"] in ("NO", ">30", "<30")
