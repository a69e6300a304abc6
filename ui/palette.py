"""Okabe and Ito's palette for colour-blind readers, and what its colours mean. Imports no chart library."""

from typing import Final

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8A97A1"
BANDS: Final = {"low": BLUE, "moderate": SKY, "high": ORANGE, "very high": VERMILION}
CLASSES: Final = {"<30": VERMILION, ">30": ORANGE, "NO": BLUE}
