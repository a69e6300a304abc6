import io

import numpy as np
import pytest
from PIL import Image
from readmission.reporting import plots

from tests.unit.readmission.reporting.documents import document

NAMES = {f"plots/{name}.png" for name in ("roc", "precision_recall", "reliability", "decision_curve", "feature_effect")}


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return plots.draw(document(), "random_forest", "real")


@pytest.fixture
def images(drawn: dict[str, bytes]) -> dict[str, Image.Image]:
    return {path: Image.open(io.BytesIO(content)) for path, content in drawn.items()}


def test_there_are_pngs_wide_enough_to_read(images: dict[str, Image.Image]) -> None:
    assert images.keys() == NAMES
    assert all(image.format == "PNG" and image.width == 960 for image in images.values())


@pytest.mark.parametrize("path", sorted(NAMES))
def test_a_plot_shows_both_colours(images: dict[str, Image.Image], path: str) -> None:
    pixels = np.asarray(images[path].convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (pixels == colour).all(axis=1).sum() > 50


def test_the_same_document_draws_the_same_bytes(drawn: dict[str, bytes]) -> None:
    assert drawn == plots.draw(document(), "random_forest", "real")


def test_synthetic_data_shows_in_every_plot(drawn: dict[str, bytes]) -> None:
    synthetic = plots.draw(document(), "random_forest", "synthetic")
    assert all(drawn[path] != synthetic[path] for path in NAMES)


def test_undefined_figures_and_missing_features_do_not_prevent_drawing() -> None:
    changed = document(feature_effects=[])
    changed["test"]["metrics"] = dict.fromkeys(changed["test"]["metrics"])
    changed["test"]["metrics"] |= {"early_ece": 0.1, "any_ece": 0.1}
    assert plots.draw(changed, "random_forest", "real").keys() == NAMES


def test_an_evaluation_of_an_earlier_release_has_no_decision_curve() -> None:
    earlier = document()
    del earlier["test"]["thresholds"]
    assert plots.draw(earlier, "random_forest", "real").keys() == NAMES - {"plots/decision_curve.png"}
