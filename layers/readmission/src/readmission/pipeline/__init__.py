"""The data pipeline, in the order of a run.

`sources` and `synthetic` provide rows, `plan` splits them into batches, `ingest` loads a batch into the raw table,
`clean` turns it into clean rows by the rules of `quality`, and `check` stops a run that has too many invalid rows.
`data_report` counts rows for each batch; `executions` starts runs and reads their state.
"""
