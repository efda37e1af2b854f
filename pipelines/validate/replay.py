"""Mend and replay: quarantined rows as a file a person can edit; events reads it in place of the originals.

    python -m pipelines.validate.replay export FILE [REASON ...]

writes one JSON object per row: source_file, source_row, reason, detail, raw. Mend `raw` (the row as the source should
have written it), delete the lines that are not to be mended, put the file into data/raw/repaired/ and run events again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from pipelines import paths
from pipelines.columns import FILE, RAW, ROW
from pipelines.errors import DataError, ParamsError, PipelineError, nearest
from pipelines.validate.frame import DETAIL, REASON

USAGE = "python -m pipelines.validate.replay export FILE [REASON ...]"


def export(target: Path, reasons: list[str]) -> int:
    """Quarantined rows (of these reasons, or all) into a new file; how many. DataError if there are none."""
    files = sorted(paths.QUARANTINE.glob("day=*/rows.parquet"))
    if not files:
        raise DataError("there is nothing in quarantine", str(paths.QUARANTINE), "run validate first; perhaps every row is good")
    rows = pl.scan_parquet(files).select(FILE, ROW, REASON, DETAIL, RAW)
    known = rows.select(pl.col(REASON).unique()).collect()[REASON].to_list()
    for reason in reasons:
        if reason not in known:
            raise ParamsError(f"no row is quarantined as {reason!r}", USAGE, nearest(reason, known))
    chosen = (rows.filter(pl.col(REASON).is_in(reasons)) if reasons else rows).sort(FILE, ROW).collect()
    if target.exists():
        raise ParamsError("the file is there already", str(target), "name a new one: it may hold somebody's work")
    with target.open("w", encoding="utf-8") as out:
        for row in chosen.iter_rows(named=True):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return len(chosen)


def main(words: list[str]) -> int:
    try:
        if len(words) < 2 or words[0] != "export":
            raise ParamsError("what is to be done?", " ".join(words) or "no words", USAGE)
        target = Path(words[1])
        count = export(target, words[2:])
    except PipelineError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count:,} rows in {target}: mend `raw`, move the file to {paths.RAW}/repaired/, then run events and validate")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
