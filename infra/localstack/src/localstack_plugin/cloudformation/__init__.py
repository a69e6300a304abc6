"""What LocalStack's CloudFormation lacks to deploy a stack again and again, as AWS can."""

from localstack_plugin.cloudformation import api_ids, conditions, references, retention, updates, waiting


def install() -> None:
    """Must run before CloudFormation is first used."""
    references.install()
    conditions.install()
    retention.install()
    updates.install()
    api_ids.install()
    waiting.install()
