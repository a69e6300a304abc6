"""The state machine matches the errors, the payloads and the template that it refers to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from readmission import errors
from readmission.domain import payloads
from readmission.promotion import earlier

from statemachines import generate

ROOT = Path(__file__).parents[3]
TEXT = generate.target().read_text()
MACHINE = json.loads(TEXT)


class _Template(yaml.SafeLoader):
    """Replaces CloudFormation's short forms (`!Ref`, `!Sub`, …) by their arguments."""


def _short_form(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Template.add_multi_constructor("!", _short_form)
TEMPLATE = yaml.load((ROOT / "template.yaml").read_text(), _Template)
RESOURCES = TEMPLATE["Resources"]


def _states(machine: Any, outer: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every state with its name and the name of the map, or of the state with branches, that contains it, if any."""
    for name, state in machine["States"].items():
        yield name, state, outer
        if "ItemProcessor" in state:
            yield from _states(state["ItemProcessor"], name)
        for branch in state.get("Branches", ()):
            yield from _states(branch, name)


STATES = {name: state for name, state, _ in _states(MACHINE)}
OUTER = {name: outer for name, _, outer in _states(MACHINE) if outer}
INVOKES = "arn:aws:states:::lambda:invoke"
TASKS = [name for name, state in STATES.items() if state.get("Resource") == INVOKES]
JOBS = [name for name, state in STATES.items() if "sagemaker" in state.get("Resource", "")]
MAPS = [name for name, state in STATES.items() if state["Type"] == "Map"]
FAILS = [name for name, state in STATES.items() if state["Type"] == "Fail"]
RETRIES = [
    pytest.param(retry, id=f"{name}-{index}") for name in TASKS for index, retry in enumerate(STATES[name]["Retry"])
]
TRANSIENT = {error.__name__ for error in errors.Transient.__subclasses__()}

# https://states-language.net/#appendix-a, with the two that AWS's documentation adds, DataLimitExceeded and Runtime.
OF_STEP_FUNCTIONS = {
    *("ALL", "HeartbeatTimeout", "Timeout", "TaskFailed", "Permissions", "ResultPathMatchFailure"),
    *("ParameterPathFailure", "QueryEvaluationError", "BranchFailed", "NoChoiceMatched", "IntrinsicFailure"),
    *("ExceedToleratedFailureThreshold", "ItemReaderFailed", "ResultWriterFailed", "DataLimitExceeded", "Runtime"),
}
# The input and the result of each task.
PAYLOADS = {
    "Plan": (payloads.PlanEvent, payloads.Plan),
    "Ingest": (payloads.BatchEvent, payloads.IngestResult),
    "Clean": (payloads.BatchEvent, payloads.CleanResult),
    "Check data": (payloads.CheckEvent, payloads.CheckResult),
    "Compare": (payloads.EarlierEvent, payloads.Earlier),
    "Train": (payloads.TrainEvent, payloads.TrainResult),
    "After job": (payloads.AfterJobEvent, payloads.TrainResult),
    "Report": (payloads.PlotsEvent, payloads.ReportResult),
    "Promote": (payloads.PromoteEvent, payloads.PromoteResult),
    "Model card": (payloads.CardEvent, payloads.ReportResult),
    "Monitor": (payloads.MonitorEvent, payloads.MonitorResult),
}
LOOK = "Look for models"
REPORTS = ("Report", "Model card")
# Tasks that are not stages, with their function's folder: an execution can neither start at them nor stop after them.
FOLDERS = {
    "Check data": "check",
    "Compare": "promote",
    "After job": "train",
    "Monitor": "monitor",
    **dict.fromkeys(REPORTS, "report"),
}
INNER = ("Branches", "ItemProcessor", "ResultSelector")
PASSING_ON = ("Check data", *REPORTS)


def _paths(value: Any) -> Iterator[str]:
    """Every JSONPath in a part of the machine."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith((".$", "Path")) and isinstance(inner, str):
                yield from re.findall(r"\$[$\w.]*", inner)
            else:
                yield from _paths(inner)


def _variables(rule: Any) -> Iterator[str]:
    """What a choice rule compares."""
    for part in rule.get("Or", [rule]):
        yield part["Variable"].removeprefix("$.").partition(".")[0]


def _successors(state: Any) -> set[str]:
    rules = [state, *state.get("Choices", []), *state.get("Catch", [])]
    return {rule[key] for rule in rules for key in ("Next", "Default") if key in rule}


def test_the_deployed_definition_is_generated_from_the_yaml() -> None:
    assert generate.definition() == TEXT


def test_the_tasks_are_plan_and_the_stages() -> None:
    assert [name.lower() for name in TASKS if name not in FOLDERS] == ["plan", *payloads.STAGES]


def test_every_training_and_every_promotion_is_reported() -> None:
    assert [STATES[name]["Next"] for name in ("Train", "After job")] == ["Trained", "Trained"]
    assert [STATES["Trained"]["Default"], STATES["Promote"]["Next"]] == list(REPORTS)


def test_clean_data_is_checked_before_the_run_stops_or_trains() -> None:
    assert [STATES[name]["Next"] for name in ("Clean batches", "Check data")] == ["Check data", "After clean"]


def test_a_run_ends_with_the_monitor_whatever_became_of_the_card() -> None:
    (catch,) = STATES["Model card"]["Catch"]
    assert STATES["Model card"]["Next"] == catch["Next"] == "Monitor"
    assert STATES["Monitor"]["Next"] == STATES["Monitor"]["Catch"][0]["Next"] == "Done"


@pytest.mark.parametrize("name", PASSING_ON)
def test_a_report_or_check_passes_its_input_on(name: str) -> None:
    assert STATES[name]["ResultPath"] is None


@pytest.mark.parametrize("retry", RETRIES)
def test_only_transient_errors_are_retried(retry: Any) -> None:
    unknown = [name for name in retry["ErrorEquals"] if not name.startswith("Lambda.")]
    assert set(unknown) <= TRANSIENT | {"Runtime.ExitError"}


@pytest.mark.parametrize("task", TASKS)
def test_a_step_whose_process_is_killed_runs_again_twice(task: str) -> None:
    (retry,) = [retry for retry in STATES[task]["Retry"] if "Runtime.ExitError" in retry["ErrorEquals"]]
    assert (retry["ErrorEquals"], retry["MaxAttempts"]) == (["Runtime.ExitError"], 2)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("error", sorted(TRANSIENT))
def test_every_transient_error_is_retried_in_every_task(task: str, error: str) -> None:
    assert any(error in retry["ErrorEquals"] for retry in STATES[task]["Retry"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "error",
    [
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
    ],
)
def test_lambdas_own_transient_errors_are_retried_in_every_task(task: str, error: str) -> None:
    assert any(error in retry["ErrorEquals"] for retry in STATES[task]["Retry"])


@pytest.mark.parametrize("retry", RETRIES)
def test_a_retry_backs_off_up_to_a_limit_with_jitter(retry: Any) -> None:
    assert retry["JitterStrategy"] == "FULL"
    assert retry["BackoffRate"] > 1
    assert 0 < retry["IntervalSeconds"] <= retry["MaxDelaySeconds"]
    assert 1 <= retry["MaxAttempts"] <= 10


def test_the_base_class_of_the_transient_errors_is_not_named() -> None:
    assert "Transient" not in TEXT


def test_transient_errors_have_no_subclasses_that_would_not_be_retried() -> None:
    """Step Functions compares the name of the exception's class only."""
    assert [error for error in errors.Transient.__subclasses__() if error.__subclasses__()] == []


# What the promotion can be decided without, or comes after: the state, and where the state machine keeps its failure.
TOLERATED = {
    "Train": "$.failure",
    "After job": "$.failure",
    "Report": "$.plots_failure",
    "Model card": "$.card_failure",
    "Monitor": "$.monitor_failure",
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_the_promotion_can_be_decided_without_does_not_fail_the_run_and_is_kept(name: str) -> None:
    (catch,) = STATES[name]["Catch"]
    assert (catch["ErrorEquals"], catch["ResultPath"]) == (["States.ALL"], TOLERATED[name])
    after = STATES[catch["Next"]]
    assert after["Type"] in ("Pass", "Succeed") or (name, catch["Next"]) == ("Model card", "Monitor")
    if name in ("Train", "After job"):
        assert {key.removesuffix(".$") for key in after["Parameters"]} == payloads.FailedTraining.__annotations__.keys()


def test_a_run_goes_on_if_any_family_is_trained_and_fails_as_the_first_if_none_is() -> None:
    """The rule lists one candidate for each family: a path with a filter is not the same on the emulator."""
    assert STATES["Train models"]["Next"] == "Any trained"
    (rule,) = STATES["Any trained"]["Choices"]
    trained = [f"$.candidates[{number}].mlflow_run_id" for number in range(len(payloads.FAMILIES))]
    assert rule == {"Or": [{"Variable": path, "IsPresent": True} for path in trained], "Next": "After train"}
    nothing = STATES[STATES["Any trained"]["Default"]]
    assert nothing["InputPath"] == "$.candidates[0].failure"
    assert (nothing["ResultPath"], nothing["Next"]) == ("$.failure", "Train failed")


def test_an_execution_has_a_time_limit_above_that_of_every_step() -> None:
    """Without one, an execution never times out, and the alarm `pipeline-timed-out` cannot fire."""
    longest = sum(STATES[name]["TimeoutSeconds"] for name in (*TASKS, JOBS[0]))
    assert longest < MACHINE["TimeoutSeconds"] <= 48 * 3600
    alarm = RESOURCES["PipelineTimedOutAlarm"]["Properties"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ExecutionsTimedOut", 0)


@pytest.mark.parametrize("name", [*(name for name in TASKS if name not in TOLERATED), *MAPS])
def test_every_other_failure_ends_in_a_state_that_names_the_step(name: str) -> None:
    catcher = OUTER.get(name, name)
    (catch,) = STATES[catcher]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    assert catch["ResultPath"] == "$.failure"
    # Looking for models is the beginning of the training.
    step = "Train" if catcher == LOOK else catcher.removesuffix(" batches").removesuffix(" models")
    assert catch["Next"] == f"{step} failed"
    named = {"Type": "Pass", "Result": step.lower(), "ResultPath": "$.failed_step", "Next": "Failure"}
    assert STATES[catch["Next"]] == named


@pytest.mark.parametrize("name", [name for name in TASKS if name in OUTER and name not in TOLERATED])
def test_a_task_of_a_map_names_the_errors_of_step_functions_itself(name: str) -> None:
    """LocalStack gives a Map that fails with an error of Step Functions another error."""
    timeout, own = STATES[name]["Catch"]
    assert timeout == {"ErrorEquals": ["States.Timeout"], "Next": f"{name} timed out"}
    failure = STATES[f"{name} timed out"]
    assert (failure["Type"], failure["Error"]) == ("Fail", errors.StepTimedOut.__name__)
    assert failure["Cause"].endswith("did not end within its time limit")
    assert own["Next"] == f"{name} not run" and own["ResultPath"] == "$.failure"
    # States.ALL and States.TaskFailed would catch the errors of functions too, and a task ends with none of these.
    others = {"ALL", "TaskFailed", "Timeout", "BranchFailed", "NoChoiceMatched", "ExceedToleratedFailureThreshold"}
    others |= {"ItemReaderFailed", "ResultWriterFailed", "QueryEvaluationError", "Runtime"}
    assert {one.removeprefix("States.") for one in own["ErrorEquals"]} == OF_STEP_FUNCTIONS - others
    failure = STATES[own["Next"]]
    assert (failure["Type"], failure["Error"]) == ("Fail", errors.StepFailed.__name__)
    assert failure["CausePath"] == "States.Format('{}: {}', $.failure.Error, $.failure.Cause)"
    assert OUTER[f"{name} timed out"] == OUTER[f"{name} not run"] == OUTER[name]


@pytest.mark.parametrize("name", [name for name in FAILS if name not in OUTER])
def test_a_failed_execution_names_the_step(name: str) -> None:
    assert STATES[name]["CausePath"].startswith("States.Format('{} failed: ")
    assert "$.failed_step" in STATES[name]["CausePath"]


def test_a_failure_keeps_the_errors_name_and_cause() -> None:
    assert STATES["Failure"]["Default"] == "Failed"
    assert STATES["Failed"]["ErrorPath"] == "$.failure.Error"
    assert "$.failure.Cause" in STATES["Failed"]["CausePath"]


def test_no_failure_repeats_an_error_of_step_functions_itself() -> None:
    """The name of a custom error must not begin with `States.`."""
    rules = STATES["Failure"]["Choices"]
    matched = {rule["Next"]: rule for rule in rules}
    assert [one["StringEquals"] for one in matched["Timed out"]["Or"]] == ["States.Timeout", "Sandbox.Timedout"]
    assert matched["Not run"] == {"Variable": "$.failure.Error", "StringMatches": "States.*", "Next": "Not run"}
    named = {STATES[name]["Error"] for name in matched}
    assert named == {errors.StepTimedOut.__name__, errors.StepFailed.__name__}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_limits_how_much_runs_at_once(name: str) -> None:
    assert 0 < STATES[name]["MaxConcurrency"] <= 10


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_a_timeout(name: str) -> None:
    assert 0 < STATES[name]["TimeoutSeconds"] <= 900


def _function(task: str) -> str:
    """The logical id of the function that a task calls."""
    (substitution,) = re.findall(r"^\$\{(\w+)\}$", STATES[task]["Parameters"]["FunctionName"])
    arn: str = RESOURCES["Pipeline"]["Properties"]["DefinitionSubstitutions"][substitution]
    name, _, attribute = arn.partition(".")
    assert attribute == "Arn"
    return name


@pytest.mark.parametrize("name", TASKS)
def test_a_task_calls_the_function_of_its_name(name: str) -> None:
    assert RESOURCES[_function(name)]["Properties"]["CodeUri"] == f"functions/{FOLDERS.get(name, name.lower())}"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_waits_at_least_as_long_as_its_function_may_run(name: str) -> None:
    assert STATES[name]["TimeoutSeconds"] >= RESOURCES[_function(name)]["Properties"]["Timeout"]


def test_the_template_provides_exactly_the_substitutions_of_the_definition() -> None:
    assert (
        set(re.findall(r"\$\{(\w+)\}", TEXT)) == RESOURCES["Pipeline"]["Properties"]["DefinitionSubstitutions"].keys()
    )


def test_the_state_machine_may_invoke_exactly_the_functions_that_it_calls() -> None:
    policies = RESOURCES["Pipeline"]["Properties"]["Policies"]
    allowed = {policy["LambdaInvokePolicy"]["FunctionName"] for policy in policies if "LambdaInvokePolicy" in policy}
    assert allowed == {_function(name) for name in TASKS}


# Fields of *promote* that only a recalibration gives, which is not an execution.
OF_RECALIBRATION = {"reason", "other_sites"}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_passes_the_fields_that_its_function_expects(name: str) -> None:
    event, _ = PAYLOADS[name]
    expected = event.__annotations__.keys() - OF_RECALIBRATION
    assert {key.removesuffix(".$") for key in STATES[name]["Parameters"]["Payload"]} == expected


@pytest.mark.parametrize("name", TASKS)
def test_a_task_selects_only_fields_that_its_function_returns(name: str) -> None:
    _, result = PAYLOADS[name]
    selected = [path.removeprefix("$.Payload.") for path in _paths(STATES[name].get("ResultSelector", {}))]
    assert set(selected) <= result.__annotations__.keys()


@pytest.mark.parametrize("name", list(MACHINE["States"]))
def test_a_state_reads_only_results_of_the_plan_or_of_earlier_states(name: str) -> None:
    planned = {path.removeprefix("$.Payload.") for path in _paths(STATES["Plan"]["ResultSelector"])}
    assert planned <= payloads.Plan.__annotations__.keys()
    state = {key: value for key, value in STATES[name].items() if key not in INNER}
    read = {path.split(".")[1] for path in _paths(state) if path.startswith("$.")}
    read |= {name for rule in state.get("Choices", []) for name in _variables(rule)}
    read = {name.partition("[")[0] for name in read}
    assert read <= planned | {"candidates", "earlier", "failed_step", "failure", "promotion", "monitor"}


def _read(task: Any) -> set[str]:
    """The fields of the state's input that a task passes to its function."""
    return {path.removeprefix("$.") for path in _paths(task["Parameters"]["Payload"]) if path.startswith("$.")}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_passes_the_executions_name_which_is_logged_as_correlation_id(name: str) -> None:
    assert STATES[name]["Parameters"]["Payload"]["execution.$"] == "$$.Execution.Name"


@pytest.mark.parametrize("name", MAPS)
def test_a_map_passes_exactly_the_fields_that_its_task_reads(name: str) -> None:
    passed = {key.removesuffix(".$") for key in STATES[name]["ItemSelector"]}
    processor = STATES[name]["ItemProcessor"]
    task = processor["States"][processor["StartAt"]]
    assert _read(task) == passed


def test_a_report_reads_the_result_of_its_training() -> None:
    assert {STATES[name]["OutputPath"] for name in ("Train", "After job")} == {"$.Payload"}
    assert _read(STATES["Report"]) == payloads.TrainResult.__annotations__.keys()


@pytest.mark.parametrize("stage", payloads.STAGES[1:])
def test_a_run_can_start_at_every_stage(stage: str) -> None:
    (choice,) = [choice for choice in STATES["Start at"]["Choices"] if choice.get("StringEquals") == stage]
    assert choice["Next"] == LOOK if stage == "train" else choice["Next"].lower().startswith(stage)


def test_a_run_that_is_skipped_ends_before_any_stage() -> None:
    assert STATES["Plan"]["Next"] == "Start at"
    assert STATES["Start at"]["Choices"][0] == {"Variable": "$.skipped", "IsNull": False, "Next": "Done"}


def test_a_run_starts_at_ingest_by_default() -> None:
    assert STATES["Start at"]["Default"] == "Ingest batches"


@pytest.mark.parametrize("stage", payloads.STAGES[:-1])
def test_a_run_can_stop_after_every_stage(stage: str) -> None:
    (choice,) = STATES[f"After {stage}"]["Choices"]
    # Clean rows that nothing is learned from are looked at all the same.
    end = "Monitor" if stage == "clean" else "Done"
    assert (choice["Variable"], choice["StringEquals"], choice["Next"]) == ("$.stop_after", stage, end)


def test_every_state_is_reachable_and_every_named_state_exists() -> None:
    named = {MACHINE["StartAt"]}.union(*(_successors(state) for name, state in STATES.items() if name not in OUTER))
    assert named == MACHINE["States"].keys()


def test_the_events_of_the_largest_run_fit_into_an_execution() -> None:
    """Step Functions stops an execution after 25,000 events; an iteration of a map causes about 7."""
    assert payloads.MAX_BATCHES * 2 * 7 < 25_000


# ---------------------------------------------------------------- nothing new to learn
def test_every_training_is_preceded_by_the_question_for_earlier_models() -> None:
    before = {name for name, state in STATES.items() if name not in OUTER and "Train models" in _successors(state)}
    assert before == {"Something new"}
    assert STATES["After clean"]["Default"] == LOOK and STATES[LOOK]["Next"] == "Something new"
    assert STATES["Something new"]["Choices"] == [
        {"Variable": "$.earlier.outcome", "StringEquals": "train", "Next": "Train models"}
    ]


def test_an_execution_that_waits_asks_again_which_others_are_running() -> None:
    (rule,) = STATES["Others at work"]["Choices"]
    assert (rule["StringEquals"], STATES[rule["Next"]]["Type"]) == ("wait", "Wait")
    assert STATES[rule["Next"]]["Next"] == STATES[LOOK]["Branches"][0]["StartAt"] == "Running executions"


def test_the_question_passes_every_field_of_the_request_and_selects_every_field_of_the_answer() -> None:
    asked = STATES["Compare"]["Parameters"]["Payload"]["earlier"]
    assert {key.removesuffix(".$") for key in asked} == payloads.EarlierRequest.__annotations__.keys()
    selected = {key.removesuffix(".$") for key in STATES["Compare"]["ResultSelector"]}
    assert selected == payloads.Earlier.__annotations__.keys()


def test_the_running_executions_are_listed_as_one_page_of_this_machine() -> None:
    state = STATES["Running executions"]
    assert state["Resource"] == "arn:aws:states:::aws-sdk:sfn:listExecutions"
    assert state["Parameters"]["StateMachineArn.$"] == "$$.StateMachine.Id"
    # An entry has about 400 bytes, and a state may pass on 256 KB.
    assert state["Parameters"]["MaxResults"] * 500 < 256_000
    assert state["Retry"]


def test_the_longest_wait_for_another_training_fits_into_an_execution() -> None:
    """A round of waiting causes 14 events; see `promotion.earlier`."""
    longest = TEMPLATE["Parameters"]["TrainingMaxSeconds"]["MaxValue"]
    rounds = earlier._SOON_FOR.total_seconds() / earlier._SOON + longest / earlier._LATER
    assert rounds * 14 < 20_000


# ---------------------------------------------------------------- training jobs
def test_a_job_trains_if_train_answers_with_one_and_is_asked_about_afterwards() -> None:
    (rule,) = STATES["Trained"]["Choices"]
    assert rule == {"Variable": "$.job", "IsPresent": True, "Next": "Job due"}
    assert [STATES[name]["Next"] for name in ("Job due", "Job settings")] == ["Job settings", "In a VPC"]
    assert [STATES[name]["Next"] for name in JOBS] == ["After job"] * 2


def test_train_learns_that_the_state_machine_can_run_jobs() -> None:
    asked = [STATES[name]["Parameters"]["Payload"]["after_job"] for name in ("Train", "After job")]
    assert asked == [False, True]


@pytest.mark.parametrize("name", JOBS)
def test_step_functions_waits_for_a_job_and_stops_it_with_the_execution(name: str) -> None:
    assert STATES[name]["Resource"] == "arn:aws:states:::sagemaker:createTrainingJob.sync"


@pytest.mark.parametrize("name", JOBS)
def test_whatever_becomes_of_a_job_is_asked_of_train(name: str) -> None:
    (catch,) = STATES[name]["Catch"]
    assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.outcome", "Next": "After job"}
    assert (STATES[name]["ResultPath"], STATES[name]["Next"]) == ("$.outcome", "After job")
    selected = {key.removesuffix(".$") for key in STATES[name]["ResultSelector"]}
    assert selected == payloads.EndedJob.__annotations__.keys()


@pytest.mark.parametrize("name", JOBS)
def test_a_job_may_take_as_long_as_its_parameter_allows(name: str) -> None:
    longest = TEMPLATE["Parameters"]["TrainingMaxSeconds"]["MaxValue"]
    assert longest < STATES[name]["TimeoutSeconds"] < MACHINE["TimeoutSeconds"]


def test_a_job_in_a_vpc_is_the_same_but_for_its_network() -> None:
    plain, in_vpc = (dict(STATES[name]) for name in JOBS)
    own = in_vpc.pop("Parameters")
    assert own.pop("VpcConfig").keys() == {"Subnets.$", "SecurityGroupIds.$"}
    assert own == plain.pop("Parameters")
    assert in_vpc == plain


@pytest.mark.parametrize("name", JOBS)
def test_a_job_reads_fields_of_the_request_and_the_settings(name: str) -> None:
    request, given = payloads.TrainingJob.__annotations__, STATES["Job settings"]["Result"]
    read = {path for path in _paths(STATES[name]["Parameters"]) if path.startswith("$.")}
    read |= {path for tag in STATES[name]["Parameters"]["Tags"] for path in _paths(tag)}
    fields = {path.removeprefix("$.job.") for path in read if path.startswith("$.job.")}
    settings = {path.split(".")[2] for path in read if path.startswith("$.settings.")}
    assert fields <= request.keys() and settings <= given.keys()
    assert fields | {"attempt", "wait_seconds"} == request.keys()


@pytest.mark.parametrize("name", JOBS)
def test_hyperparameters_are_what_the_trainer_is_told(name: str) -> None:
    told = {key.removesuffix(".$") for key in STATES[name]["Parameters"]["HyperParameters"]}
    assert told == {"model", "data_kind", "execution", "distributed"}


def test_a_job_has_the_settings_that_the_function_train_has() -> None:
    """Those of its libraries are the image's, and those that choose a job are the function's alone."""
    job = STATES["Job settings"]["Result"]["environment"]
    function = RESOURCES["TrainFunction"]["Properties"]["Environment"]["Variables"]
    of_the_function = {"HOME", "JOBLIB_MULTIPROCESSING", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_NUM_THREADS"}
    of_the_function |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"}
    of_the_function |= {"STACK_NAME", "TRAINING", "TRAINING_JOB_ROWS", "TRAINING_INSTANCES"}
    assert job.keys() - {"DATA_BUCKET"} == function.keys() - of_the_function
