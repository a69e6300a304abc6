"""Templates as SAM transforms them for the tests."""

import yaml

from tests.transformed import APPLICATION, loaded


def test_reading_a_template_leaves_the_loader_of_yaml_as_it_was() -> None:
    before = dict(yaml.SafeLoader.yaml_constructors), dict(yaml.SafeLoader.yaml_multi_constructors)
    loaded(APPLICATION)
    assert (yaml.SafeLoader.yaml_constructors, yaml.SafeLoader.yaml_multi_constructors) == before
    assert type(yaml.safe_load("a: 1")) is dict
