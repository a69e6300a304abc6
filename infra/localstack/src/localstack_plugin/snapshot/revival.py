"""What runs in a service for the resources that it has, and therefore has to start again with them."""

from typing import Any

from localstack.aws.api.lambda_ import State
from localstack.services.cloudwatch.models import LocalStackMetricAlarm, cloudwatch_stores
from localstack.services.events.event_bus import EventBusService
from localstack.services.events.models import events_stores
from localstack.services.events.rule import RuleService
from localstack.services.lambda_.invocation.models import lambda_stores
from localstack.services.plugins import SERVICE_PLUGINS
from localstack.utils.sync import poll_condition

from localstack_plugin.executor.code import code_store

_PATIENCE_SECONDS = 60


class NotRevived(Exception):
    """A function cannot be invoked again."""


def revive() -> None:
    """Raises NotRevived."""
    _provider("s3").on_after_state_load()
    _functions()
    _rules()
    _alarms()


def _functions() -> None:
    """Each version can be invoked then, and event sources are polled. Their code is unzipped when it is first used."""
    provider = _provider("lambda")
    provider.on_before_state_load()
    with code_store().deferring():
        provider.on_after_state_load()
        poll_condition(lambda: not _idle_versions(), timeout=_PATIENCE_SECONDS)
    if idle := _idle_versions():
        raise NotRevived(f"These functions are not active: {', '.join(idle)}")


def _idle_versions() -> list[str]:
    return [
        version.id.qualified_arn()
        for _, _, store in list(lambda_stores.iter_stores())
        for function in store.functions.values()
        for version in function.versions.values()
        if version.config.state.state != State.Active
    ]


def _rules() -> None:
    """LocalStack has no function for this: it does the same when a rule or a target is put."""
    provider = _provider("events")
    for account, region, store in list(events_stores.iter_stores()):
        for bus in store.event_buses.values():
            provider._event_bus_services_store[bus.arn] = EventBusService(bus)
            for rule in bus.rules.values():
                service = provider._rule_services_store[rule.arn] = RuleService(rule)
                for target in rule.targets.values():
                    provider.create_target_sender(target, rule.arn, rule.name, region, account)
                if service.schedule_cron and rule.targets:
                    service.create_schedule_job(provider._get_scheduled_rule_job_function(account, region, rule))


def _alarms() -> None:
    """With the state of a new alarm. LocalStack's own function for this asks all regions for their alarms."""
    scheduler = _provider("cloudwatch").alarm_scheduler
    for _, _, store in list(cloudwatch_stores.iter_stores()):
        for arn, alarm in store.alarms.items():
            alarm.set_default_attributes()
            if isinstance(alarm, LocalStackMetricAlarm):
                scheduler.schedule_metric_alarm(arn)


def _provider(service: str) -> Any:
    return SERVICE_PLUGINS.require(service)._provider
