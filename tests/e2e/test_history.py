from tests.e2e.conftest import Application, Trained


def test_a_promotion_is_in_the_history_and_can_be_rolled_back_and_forth(
    application: Application, trained: Trained
) -> None:
    first = application.call("/health").json["model_version"]
    promotion = application.run(source=trained.source, start_at="promote", models=["gradient_boosting"])["promotion"]
    said = application.platform.run("history")
    assert promotion["decision"] in said and promotion["reason"] in said
    second = application.run(source=trained.source, start_at="train", models=["gradient_boosting"])["promotion"]
    if second["decision"] == "promoted":
        back = application.platform.run("rollback", "--reason", "a test")
        assert f"it was version {second['version']}" in back
    serving = application.call("/reload-model", method="POST").json["model_version"]
    if serving != first:
        application.platform.run("rollback", "--version", first)
    assert application.call("/reload-model", method="POST").json["model_version"] == first
