"""Scores many encounters in a job: plan, chunks and finish of the state machine `score`."""
