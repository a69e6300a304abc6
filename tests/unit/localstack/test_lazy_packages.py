"""In a process of its own: another test may have imported moto."""

import subprocess
import sys

from tests.documents import ROOT

PROGRAM = """
import sys
from localstack_plugin import lazy_packages
lazy_packages.install()
from moto.batch.utils import JobStatus
assert JobStatus.SUCCEEDED
assert not {"moto.batch.models", "moto.ec2.models"} & sys.modules.keys()
from moto.batch import batch_backends
from moto.batch.models import batch_backends as same
assert batch_backends is same
"""


def test_moto_loads_the_models_of_batch_and_ec2_only_if_they_are_used() -> None:
    environment = {"PYTHONPATH": str(ROOT / "infra" / "localstack" / "src")}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
