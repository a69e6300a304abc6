"""Readmission forecast: the domain behind the Lambda functions."""

from readmission import architecture

# Before any other module of the package, because those import what the layers hold.
architecture.check_layers()
