import shutil

import pytest

from tests.chaos import small_disk
from tests.chaos.faults.catalog import FAULTS
from tests.chaos.plan import impossible, schedule, select
from tests.chaos.system import STEPS


def test_every_fault_has_its_own_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_all_faults_are_chosen_by_default_and_some_by_their_names() -> None:
    assert select(None) == [fault for fault in FAULTS if fault.obstacle() is None]
    assert [fault.name for fault in select("kill-mlflow, kill-predict,kill-mlflow")] == ["kill-mlflow", "kill-predict"]


def test_an_unknown_fault_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="no fault 'earthquake'; choose from: kill-postgres, kill-mlflow"):
        select("kill-mlflow,earthquake")


def test_what_is_not_possible_here_is_left_out_with_its_reason_and_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_disk, "obstacle", lambda: "only root can mount a file system")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert [name.partition(" ")[0] for name in impossible(None)] == [
        "full-disk-postgres",
        "full-disk-mlflow",
        "full-disk-localstack",
        "clock-skew",
    ]
    assert {fault.name for fault in FAULTS} - {fault.name for fault in select(None)} == {
        name.partition(" ")[0] for name in impossible(None)
    }
    assert impossible("kill-mlflow") == []
    with pytest.raises(ValueError, match="full-disk-mlflow is not possible here: only root can mount a file system"):
        select("kill-mlflow,full-disk-mlflow")


def test_the_same_seed_makes_the_same_plan() -> None:
    first, again, other = (schedule(FAULTS, seed, 2) for seed in (1, 1, 2))
    assert first == again != other


def test_every_fault_happens_once_a_round() -> None:
    planned = schedule(FAULTS, 1, 3)
    for number in (1, 2, 3):
        names = [one.fault.name for one in planned if one.round == number]
        assert sorted(names) == sorted(fault.name for fault in FAULTS)


def test_over_eight_rounds_a_server_is_killed_at_each_step() -> None:
    planned = schedule(select("kill-postgres"), 1, len(STEPS))
    assert {one.step for one in planned} == set(STEPS)
    assert {one.title for one in planned} == {f"kill-postgres ({step.name})" for step in STEPS}


def test_the_process_of_each_step_is_killed() -> None:
    assert {f"kill-{step.name}" for step in STEPS} <= {fault.name for fault in FAULTS}
