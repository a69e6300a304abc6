"""`make deploy`: the application on the running platform, and what to do with it next."""

from infra.local.lifecycle import parameters, up
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table


def deploy(settings: Settings, given: str | None = None) -> None:
    """With the parameters of the template in `given`, as `Name=value Name=value`, or those given before if it is None.

    Raises LocalError for an unknown parameter, if a server does not start, or if `sam` fails.
    """
    if given is not None:
        settings.create_directories()
        parameters.keep(settings, parameters.read(given))
    print(f"\n{next_commands(settings, up.deploy(settings))}")


def next_commands(settings: Settings, stack: Stack) -> str:
    """Where the application is, and the commands to try."""
    places = table(
        [
            ("API", stack.api_url, "send the key as the header x-api-key; docs at /docs"),
            ("API key", "printed by make env", ""),
            ("certificate", str(settings.certificate), "verifies https://localhost"),
            ("MLflow", settings.mlflow_url, f"registered model {NAME!r}"),
        ]
    )
    return f"""{places}

Next:
  eval "$(make -s env)"            then: curl --cacert "$API_CA" -H "x-api-key: $API_KEY" "$API_URL/health"
  make ui                          the web pages: predictions, models, pipeline runs, monitoring
  make predict                     another prediction, for your own patient with PATIENT=file.json
  make pipeline DATASET=file.zip   train on more data: a file, URL, s3://bucket/key or synthetic:rows=50000
  make status                      what is running
  make down                        stop everything; `make up` brings it back, data included"""
