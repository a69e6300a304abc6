from pathlib import Path

import pytest

from infra.local import settings
from infra.local.errors import LocalError
from infra.local.servers import supervision


def test_a_platform_that_another_release_started_has_to_be_restarted(tmp_path: Path) -> None:
    loaded = settings.load({"LOCAL_DIR": str(tmp_path)})
    loaded.create_directories()
    configuration = loaded.run / supervision.CONFIGURATION
    configuration.write_text("[program:mlflow]\ncommand=python -m infra.local.programs mlflow\n")
    with pytest.raises(LocalError, match=r"Another release.*make down, then make up"):
        supervision.start_program(loaded, "mlflow")
