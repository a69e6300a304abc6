"""Readmission forecast: the domain behind the Lambda functions."""
