"""Lets Step Functions' executions outlive LocalStack."""
