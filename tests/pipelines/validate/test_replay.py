"""From raw text to quarantine, mended by a person, and back."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from pipelines import events, params, paths, validate
from pipelines.errors import DataError, ParamsError
from pipelines.events.params import EventsParams
from pipelines.stage import Report
from pipelines.stores import quarantine
from pipelines.stores.settings import ROOT
from pipelines.validate import replay
from pipelines.validate.params import ValidateParams

pytestmark = pytest.mark.slow

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
ROWS = [f"2019-10-01 {i % 24:02}:00:0{i % 10} UTC,view,{i},205,a.b,apple,10.00,{i},s{i // 3}\n" for i in range(60)]


def both() -> tuple[Report, Report]:
    values = params.read(ROOT / "params.yaml")
    return (
        events.run(params.validate("events", EventsParams, values["events"] | {"source": "rees46"})),
        validate.run(params.validate("validate", ValidateParams, values["validate"])),
    )


@pytest.fixture
def quarantined(folder: Path) -> Path:
    """Rows 11, 12 and 13 are broken (time, price, fields); the folder for mended rows."""
    rows = list(ROWS)
    rows[10] = rows[10].replace("2019-10-01", "2019-Oct-01")
    rows[11] = rows[11].replace("10.00", "ten")
    rows[12] = rows[12][:40] + "\n"
    paths.RAW.mkdir(parents=True)
    (paths.RAW / "a.csv").write_text(HEADER + "".join(rows))
    both()
    assert quarantine.summary()["reasons"] == {"wrong_fields": 1, "time_unreadable": 1, "price_unreadable": 1}
    mended = paths.RAW / "repaired"
    mended.mkdir()
    return mended


def mend(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | {"raw": ROWS[line["source_row"] - 1].strip()} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_mended_rows_take_the_place_of_the_originals(quarantined: Path) -> None:
    assert replay.main(["export", "mend.jsonl"]) == 0
    mend(Path("mend.jsonl"))
    Path("mend.jsonl").rename(quarantined / "mend.jsonl")
    ingested, validated = both()
    assert ingested.read["mended rows"] == 3
    assert (validated.wrote["good rows"], validated.wrote["quarantined rows"]) == (60, 0)
    rows = pl.read_parquet(paths.VALIDATE / "day=2019-10-01/events.parquet", hive_partitioning=False)
    assert rows["item_id"].to_list() == list(range(60))
    assert rows["source_row"].to_list() == list(range(1, 61))


def test_only_the_reasons_asked_for_are_exported(quarantined: Path) -> None:
    assert replay.export(Path("mend.jsonl"), ["price_unreadable"]) == 1
    (line,) = map(json.loads, Path("mend.jsonl").read_text().splitlines())
    assert (line["source_file"], line["source_row"], line["reason"]) == ("a.csv", 12, "price_unreadable")
    assert line["detail"] == "price: not a number: 'ten'"


def test_a_parquet_row_is_mended_as_json(folder: Path) -> None:
    paths.RAW.mkdir(parents=True)
    names = HEADER.strip().split(",")
    table = pl.DataFrame([dict(zip(names, row.strip().split(","), strict=True)) for row in ROWS])
    table.with_columns(pl.when(pl.col("product_id") == "7").then(None).otherwise("product_id").alias("product_id")).write_parquet(
        paths.RAW / "a.parquet"
    )
    both()
    assert quarantine.summary()["reasons"] == {"item_missing": 1}
    replay.export(Path("mend.jsonl"), [])
    line = json.loads(Path("mend.jsonl").read_text())
    raw = json.loads(line["raw"]) | {"product_id": "7"}
    (paths.RAW / "repaired").mkdir()
    (paths.RAW / "repaired/x.jsonl").write_text(json.dumps(line | {"raw": json.dumps(raw)}))
    both()
    assert quarantine.summary()["reasons"] == {}


def test_an_unknown_reason_gets_the_known_ones(quarantined: Path) -> None:
    with pytest.raises(ParamsError, match="did you mean 'price_unreadable'"):
        replay.export(Path("mend.jsonl"), ["price_unreadible"])


def test_a_file_with_work_in_it_is_not_overwritten(quarantined: Path) -> None:
    Path("mend.jsonl").write_text("work")
    with pytest.raises(ParamsError, match="is there already"):
        replay.export(Path("mend.jsonl"), [])
    assert Path("mend.jsonl").read_text() == "work"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"source_file": "a.csv", "source_row": 99, "raw": "x"}', "1 mended rows have no original"),
        ('{"source_file": "a.csv", "source_row": 9, "raw": "x"', "not JSON"),
        ('{"source_file": "a.csv", "raw": "x"}', "lacks its source or its text"),
        ('{"source_file": "a.csv", "source_row": 9, "raw": "x\\ny"}', "line end in its text"),
    ],
)
def test_mended_rows_that_cannot_be_used_stop_the_run(quarantined: Path, line: str, said: str) -> None:
    (quarantined / "x.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=said):
        both()


def test_mended_rows_of_a_file_that_is_not_read_wait(quarantined: Path) -> None:
    (quarantined / "x.jsonl").write_text('{"source_file": "b.csv", "source_row": 1, "raw": "x"}\n')
    report, _ = both()
    assert "mended rows of b.csv wait: that file was not read" in report.notes
