"""Public data sets as data/etl: files of the same form, made by hand."""

from __future__ import annotations

import gzip
import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from pipelines.split import TEST, TRAIN, VALID
from pipelines.stores import sessions

CPU = torch.device("cpu")


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_sets", Path(__file__).parents[2] / "benchmarks/quality_sets.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DATA", tmp_path / "data")
    return module


def rows_of(data: sessions.Sessions, part: int) -> list[list[int]]:
    return [data.items[data.offsets[row] : data.offsets[row + 1]].tolist() for row in data.of(part).tolist()]


def test_ml_1m_leaves_one_out_and_the_validation_item_is_read_by_the_test(sets: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data/ml-1m_sasrec").mkdir(parents=True)
    with gzip.open(tmp_path / "data/ml-1m_sasrec/ml-1m.txt.gz", "wt") as file:
        file.write("1 1\n1 2\n1 3\n1 4\n2 3\n2 1\n2 5\n")
    assert sets.ml_1m(tmp_path / "etl") == {"protocol": "last_item"}
    data = sessions.load(CPU, folder=tmp_path / "etl")
    assert rows_of(data, TRAIN) == [[1, 2], [3]]
    assert rows_of(data, VALID) == [[1, 2, 3], [3, 1]]
    assert rows_of(data, TEST) == [[1, 2, 3, 4], [3, 1, 5]]
    assert data.features.num_items == 5  # item 5 is in the test alone, and is ranked with the others


def test_ml_1m_reads_200_events_before_the_last(sets: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data/ml-1m_sasrec").mkdir(parents=True)
    with gzip.open(tmp_path / "data/ml-1m_sasrec/ml-1m.txt.gz", "wt") as file:
        file.writelines(f"1 {item}\n" for item in range(1, 301))
    sets.ml_1m(tmp_path / "etl")
    (test,) = rows_of(sessions.load(CPU, folder=tmp_path / "etl"), TEST)
    assert test == list(range(100, 301))


def test_srgnn_validates_on_the_newest_tenth(sets: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "data/yoochoose1_64_srgnn"
    folder.mkdir(parents=True)
    clicks = [[7, 9], [9, 7, 7], *[[7, 8]] * 8]
    pl.DataFrame({"session": range(10), "items": clicks}).write_parquet(folder / "train_sessions.parquet")
    said = sets.yoochoose_srgnn(tmp_path / "etl")
    assert said == {"protocol": "given_prefixes", "prefixes": str(folder / "test_prefixes.parquet")}
    data = sessions.load(CPU, folder=tmp_path / "etl")
    assert rows_of(data, TRAIN) == [[1, 2], [2, 1, 1], *[[1, 3]] * 7]
    assert rows_of(data, VALID) == [[1, 3]]
    assert pl.read_parquet(tmp_path / "etl/vocabulary.parquet")["item_id"].to_list() == [7, 9, 8]


def test_clicks_leave_out_test_items_that_training_never_saw(sets: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "data/yoochoose_clicks_100k"
    folder.mkdir(parents=True)
    head = "SessionId\tItemId\tTime\n"
    trained = "".join(f"{number}\t{item}\t{number * 10 + item}.5\n" for number in range(10) for item in (1, 2))
    tested = "20\t2\t300\n20\t5\t301\n20\t1\t302\n21\t5\t310\n21\t1\t311\n"
    for name, rows in (("train_full", trained), ("test", tested)):
        with gzip.open(folder / f"yoochoose-clicks-100k_{name}.txt.gz", "wt") as file:
            file.write(head + rows)
    sets.yoochoose_clicks(tmp_path / "etl")
    data = sessions.load(CPU, ["timestamp"], tmp_path / "etl")
    assert rows_of(data, TEST) == [[2, 1]]  # session 21 has one known click left: nothing to predict
    assert len(data.of(TRAIN)) == 9
    assert data.columns["timestamp"][0] == 1_500_000


def merlin(folder: Path) -> None:
    """Ten sessions, one each hour; the newest two test: one of them has item 99, which training never saw."""
    folder.mkdir(parents=True)
    begin = 1_569_888_000  # 2019-10-01 00:00, a Tuesday
    rows: list[dict[str, Any]] = []
    for number in range(10):
        items = [1, 2, 3] if number < 9 else [1, 99, 2]
        rows.append(
            {
                "user_session": number,
                "session_start_ts": begin + 3600 * number,
                "sess_pid_seq": items,
                "sess_etime_seq": [begin + 3600 * number + step for step in range(3)],
                "sess_etype_seq": [2, 2, 2],
                "sess_csid_seq": [30, 40, 40],
                "sess_ccid_seq": [5, 5, None],
                "sess_bid_seq": [8, 6, 7] if number else [8, 6, 1],
                "sess_price_log_norm_seq": [1.0, 2.0, 3.0],
                "sess_relative_price_to_avg_category_seq": [0.5, 0.5, 0.5],
                "sess_prod_recency_days_seq": [0.0, 1.0, 3.0],
            }
        )
    pl.DataFrame(rows[5:]).write_parquet(folder / "0001_test.parquet")
    pl.DataFrame(rows[:5]).write_parquet(folder / "0001_valid.parquet")


def test_rees46_columns_are_indices_by_training_count_and_numbers_around_0(sets: ModuleType, tmp_path: Path) -> None:
    merlin(tmp_path / "data/rees46_merlin_ecom")
    sets.rees46_merlin(tmp_path / "etl")
    names = ["category", "parent_category", "brand", "price", "item_age", "relative_price", "hour_sin", "weekday_sin"]
    data = sessions.load(CPU, names, tmp_path / "etl")
    assert [len(data.of(part)) for part in (TRAIN, VALID, TEST)] == [7, 1, 2]
    assert rows_of(data, TEST) == [[1, 2, 3], [1, 2]]
    last = {name: values[-2:].tolist() for name, values in data.columns.items()}
    first = {name: values[:3].tolist() for name, values in data.columns.items()}
    assert first["category"] == [5, 4, 4]  # 40 has 14 training events, 30 has 7
    assert first["parent_category"] == [4, 4, 1]  # null
    assert first["brand"] == [5, 4, 3]  # 8 and 6 have 7 each and go by text; 1 has one training event: rare
    assert first["price"] == pytest.approx([-math.sqrt(1.5), 0, math.sqrt(1.5)])
    assert last["relative_price"] == [0, 0]  # a constant
    assert first["hour_sin"][0] == 0
    assert last["hour_sin"][0] == pytest.approx(math.sin(2 * math.pi * 9 / 24), abs=1e-6)
    assert first["weekday_sin"] == pytest.approx([math.sin(2 * math.pi / 7)] * 3)
    assert data.features.cardinalities == {"category": 6, "parent_category": 5, "brand": 7}
    assert json.loads((tmp_path / "etl/summary.json").read_text()) == {"test_events": 6, "unseen_test_events": 1}


def test_a_value_that_only_the_test_has_is_unseen(sets: ModuleType) -> None:
    values = pl.Series("brand", [1, 1, 1, 1, 1, 2])
    (indices, said), _ = sets.indexed(values, np.array([True] * 5 + [False]))
    assert indices.tolist() == [4, 4, 4, 4, 4, 2]
    assert said["cardinality"] == 5
