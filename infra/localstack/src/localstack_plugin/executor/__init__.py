"""Runs Lambda functions as child processes: execution environments, their code, processes and logs."""
