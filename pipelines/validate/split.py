"""One pass over a day: good rows, and quarantined ones with the first reason that applies."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipelines.columns import EVENT, ITEM, PARSE_ERROR, PRICE, RAW_SCHEMA, SCHEMA, TIME
from pipelines.validate.expectations import Expectation
from pipelines.validate.frame import BAD, DETAIL, EXPECTATION, REASON, VISIT_EVENTS

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {**RAW_SCHEMA, REASON: pl.String(), EXPECTATION: pl.String(), DETAIL: pl.String()}


@dataclass(frozen=True)
class Split:
    """good: SCHEMA; quarantined: QUARANTINE_SCHEMA; failing: rows each expectation fails on, whatever the reason given.

    warned: good rows that fail an expectation of severity warning.
    """

    rows: pl.DataFrame
    bad: pl.Series  # 1 for a quarantined row, 0 for a good one
    good: pl.DataFrame
    quarantined: pl.DataFrame
    failing: dict[str, int]
    warned: dict[str, int]

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined rows by reason, most frequent first."""
        counts = self.quarantined[REASON].value_counts().sort(["count", REASON], descending=[True, False])
        return {str(reason): int(count) for reason, count in counts.iter_rows()}


def split(rows: pl.DataFrame, expectations: list[Expectation]) -> Split:
    """rows: as pipelines.validate.frame.with_context makes them."""
    flags = rows.select(expectation.row_check.holds().not_().alias(expectation.reason) for expectation in expectations)
    failing = {reason: int(count) for reason, count in zip(flags.columns, flags.sum().row(0), strict=True)} if len(rows) else {}
    critical = [expectation for expectation in expectations if expectation.severity == "critical"]
    reason = pl.coalesce([pl.when(pl.col(e.reason)).then(pl.lit(e.reason)) for e in critical])
    reasons = flags.select(reason.alias(REASON))[REASON]
    marked = rows.with_columns(reasons)
    good = marked.filter(pl.col(REASON).is_null()).select(list(SCHEMA))
    says = {expectation.reason: expectation.says for expectation in critical}
    seen = pl.coalesce(
        PARSE_ERROR,
        pl.format(
            "{} {}, {} {}, {} {}, {} {}, events of the visitor {}",
            *(
                part
                for name in (TIME, ITEM, EVENT, PRICE)
                for part in (pl.lit(name), pl.col(name).cast(pl.String).fill_null("missing"))
            ),
            pl.col(VISIT_EVENTS).cast(pl.String).fill_null("unknown"),
        ),
    )
    quarantined = marked.filter(pl.col(REASON).is_not_null()).with_columns(
        pl.col(REASON).replace_strict(says, default=None, return_dtype=pl.String).alias(EXPECTATION), seen.alias(DETAIL)
    )
    quarantined = quarantined.select(list(QUARANTINE_SCHEMA))
    kept = flags.filter(reasons.is_null())
    warned = {e.reason: int(count) for e in expectations if e.severity == "warning" and (count := kept[e.reason].sum())}
    assert len(rows) == len(good) + len(quarantined), f"{len(rows)} rows in, {len(good)} good, {len(quarantined)} quarantined"
    bad = reasons.is_not_null().cast(pl.Int64).alias(BAD)
    return Split(rows, bad, good, quarantined, failing, warned)
