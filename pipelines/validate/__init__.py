"""validate: one list of expectations splits every day into good rows and quarantine; Great Expectations reports it.

in   data/events/day=*/events.parquet, summary.json    columns.RAW_SCHEMA; the window
out  data/validate/day=YYYY-MM-DD/events.parquet       good rows, columns.SCHEMA, in the order they came
     data/validate/summary.json                        counts per day and reason (DVC metric); see pipelines.stores.quarantine
     data/quarantine/day=*/rows.parquet                the other rows: RAW_SCHEMA + reason, expectation, detail
     data/docs/index.html                              what was found, and the Data Docs of every day

Rows in = good + quarantined. Row-level expectations of severity critical quarantine a row (the first that fails gives the
reason), those of severity warning are counted only. Day-level ones judge the good rows of a day: critical stops the
run, after page and quarantine are written; data/validate then holds the summary alone.
"""

from __future__ import annotations

from pipelines.stage import Report
from pipelines.validate.params import ValidateParams


def run(validate: ValidateParams) -> Report:
    from pipelines.validate import river

    return river.run(validate)
