import pytest

from tests.load.soak import Sample, growth


def sample(requests: int, predict: float, localstack: float = 500.0) -> Sample:
    return Sample(requests, 0.0, predict, localstack, 2, 0)


def test_growth_is_that_of_the_second_half() -> None:
    samples = [sample(0, 50), sample(2500, 80), sample(5000, 90), sample(7500, 91), sample(10_000, 92)]
    assert growth(samples, "predict_mb") == pytest.approx(4.0)
    assert growth(samples, "localstack_mb") == 0


def test_one_sample_tells_no_growth() -> None:
    with pytest.raises(ValueError, match="too few samples"):
        growth([sample(0, 50), sample(5000, 90)], "predict_mb")
