"""Great Expectations: the list of expectations becomes suites, a Checkpoint runs them, Data Docs show the result.

The only module that knows the library. Ephemeral context, pandas engine, one batch at a time.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

os.environ["GX_ANALYTICS_ENABLED"] = "False"

import great_expectations as gx
import great_expectations.expectations as known
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import ProgressBarsConfig

from pipelines.validate.expectations import Expectation
from pipelines.validate.frame import to_pandas

SITE = ".site"
SAMPLES = 3
KEPT_ROWS = 1_000_000


@dataclass(frozen=True)
class Outcome:
    """What GX found. count: rows that fail (row-level), else None. observed: the value (others), else None."""

    expectation: Expectation
    success: bool
    count: int | None
    observed: str | None
    error: str | None


class Suites:
    """Judges frames; `flush` writes a Data Docs page for each into `folder`.

    A context keeps every frame it was given, and a month would not fit in memory; to make one costs half a second. So
    there is a new one whenever a million rows were judged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self.context: Any = None

    def run(self, name: str, batch: str, frame: pl.DataFrame, expectations: list[Expectation]) -> list[Outcome]:
        """Judge one frame. name: of the suite (rows, day, days); batch: the day. Every expectation gets an outcome."""
        if self.rows + len(frame) > KEPT_ROWS:
            self.flush()
        if self.context is None:
            self.context = self._made()
            self.source = self.context.data_sources.add_pandas("events")
        self.rows += len(frame)
        title = f"{batch}-{name}"
        definition = self.source.add_dataframe_asset(title).add_batch_definition_whole_dataframe(batch)
        suite = self.context.suites.add(gx.ExpectationSuite(title, expectations=[_translated(one) for one in expectations]))
        validation = self.context.validation_definitions.add(gx.ValidationDefinition(name=title, data=definition, suite=suite))
        checkpoint = self.context.checkpoints.add(
            gx.Checkpoint(
                name=title,
                validation_definitions=[validation],
                result_format={"result_format": "BASIC", "partial_unexpected_count": SAMPLES},
            )
        )
        table = to_pandas(frame, _columns(expectations, frame))
        run = RunIdentifier(run_name=batch, run_time=datetime.now(UTC))
        (judged,) = checkpoint.run(batch_parameters={"dataframe": table}, run_id=run).run_results.values()
        by_reason = {found.expectation_config.meta["reason"]: found for found in judged.results}
        return [_outcome(expectation, by_reason[expectation.reason]) for expectation in expectations]

    def flush(self) -> None:
        """Write the pages of what was judged, beside those of before (GX empties a site's folder), and forget the frames."""
        if self.context is None:
            return
        self.context.build_data_docs([SITE])
        for page in self._site.rglob("*.html"):
            target = self.folder / page.relative_to(self._site)
            target.parent.mkdir(parents=True, exist_ok=True)
            page.rename(target)
        shutil.rmtree(self._site)
        self.context = self.source = None
        self.rows = 0
        gc.collect()

    @property
    def _site(self) -> Path:
        return self.folder.resolve() / SITE

    def _made(self) -> Any:
        """An ephemeral context, quiet, its pages in a folder of our own."""
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        for name, site in dict(context.variables.data_docs_sites).items():
            context.delete_data_docs_site(name)
            shutil.rmtree(site["store_backend"]["base_directory"], ignore_errors=True)  # made unasked, in the temporary folder
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(self._site)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        context.add_data_docs_site(SITE, {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index})
        return context


def _translated(expectation: Expectation) -> Any:
    kind = getattr(known, expectation.check.expectation)
    return kind(
        **expectation.check.gx(),
        severity=expectation.severity,
        description=f"{expectation.reason} ({expectation.severity}): {expectation.says}",
        meta={"reason": expectation.reason},
    )


def _columns(expectations: Iterable[Expectation], frame: pl.DataFrame) -> list[str]:
    names = [
        name for expectation in expectations for name in (expectation.check.column, *getattr(expectation.check, "names", ()))
    ]
    return [name for name in names if name in frame.columns]


def _outcome(expectation: Expectation, found: Any) -> Outcome:
    result = found.result or {}
    error = None
    if not found.success and not result:
        raised = found.exception_info or {}
        errors = [raised] if "exception_message" in raised else list(raised.values())
        error = "; ".join(str(one.get("exception_message")) for one in errors if isinstance(one, dict)) or "no result"
    count = result.get("unexpected_count")
    observed = result.get("observed_value")
    return Outcome(
        expectation,
        bool(found.success),
        None if count is None else int(count),
        None if observed is None else str(observed),
        error,
    )
