import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.errors import DataError, ParamsError
from pipelines.etl import operators, run
from pipelines.features import NULL, RARE, UNSEEN
from pipelines.paths import ETL
from pipelines.stage import Report
from tests.pipelines.etl.conftest import WINDOW, etl, session, split

Window = Callable[..., tuple[Report, dict[str, Any]]]
Days = Callable[..., None]


def hashes() -> dict[str, str]:
    files = sorted(path for path in ETL.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_sessions_lie_flat_by_start_and_time(window: Window) -> None:
    _, made = window()
    assert made["item_id"].tolist() == [1, 2, 3, 2, 1, 3, 2, 1, 3]
    assert made["offsets"].tolist() == [0, 3, 5, 7, 9]
    assert made["split"].tolist() == [0, 0, 1, 2]
    assert made["vocabulary"]["count"].to_list() == [2, 2, 1]
    assert made["session_ids"]["session_id"].to_list() == ["a", "b", "c", "d"]
    assert {name: values.dtype.name for name, values in made.items() if name in ("item_id", "offsets", "split", "price")} == {
        "item_id": "int32",
        "offsets": "int64",
        "split": "int8",
        "price": "float32",
    }


def test_every_row_is_in_the_output_or_has_a_reason(window: Window) -> None:
    rows = (
        session("a", [13, 12, 13, 12], 0),
        session("b", [12, 77], 0),  # 77 has too little support, then b is too short
        session("e", [11], 1),  # too short
        session(None, [11], 1, user_id=None),  # no session
        session("g", [11, 12], 1, event_type="remove"),  # not a kept type
        session("h", [11, 11], 1, source_row=1),
        session("c", [13, 88, 12], 2),  # 88 was never seen
        session("d", [12, 13, 99, 12], 3),  # 99 was never seen
    )
    rows[5][1]["timestamp"] = rows[5][0]["timestamp"]  # h: a repeat, then too short
    report, made = window(*rows, deduplicate="same_second", min_item_support=1, max_session_length=3)
    summary = made["summary"]
    assert summary["dropped"] == {
        "event_type": 2,
        "no_session": 1,
        "repeat": 1,
        "short_session": 2,
        "unseen_item": 2,
        "before_last": 1,
    }
    assert summary["rows"] == {"in": 19, "out": 10}
    assert report.dropped == summary["dropped"]
    assert (summary["test_events"], summary["unseen_test_events"]) == (4, 1)
    _, made = window(*rows, deduplicate="same_second", min_item_support=2, max_session_length=3)
    assert made["summary"]["dropped"]["low_support"] == 1


def test_the_vocabulary_comes_from_training_days_alone(window: Window) -> None:
    _, made = window(*WINDOW[:3], session("d", [11, 13, 55, 55, 55], 3))
    assert made["vocabulary"]["item_id"].to_list() == [11, 12, 13]


def test_statistics_come_from_training_days_alone_and_an_unknown_price_is_the_mean(window: Window) -> None:
    rows = [
        session("a", [11, 12], 0, price=np.e - 1),  # log(1 + x) = 1
        session("b", [12, 11], 1, price=np.e**3 - 1),  # 3
        session("c", [11, 12], 2, price=1e6),
        session("d", [12, 11], 3, price=None),
    ]
    _, made = window(*rows)
    price = made["schema"]["columns"]["price"]
    assert price["mean"] == pytest.approx(2)
    assert price["std"] == pytest.approx(np.sqrt(4 / 3))
    np.testing.assert_allclose(made["price"][:4], np.array([-1, -1, 1, 1]) / np.sqrt(4 / 3), rtol=1e-5)
    assert made["price"][-2:].tolist() == [0, 0]
    assert made["items"]["price"].to_list() == [1e6, 1e6]


def test_a_constant_or_wholly_unknown_price_is_0(window: Window) -> None:
    for price in (3.3, None):
        _, made = window(*(session(name, [11, 12], day, price=price) for day, name in enumerate("abcd")))
        np.testing.assert_allclose(made["price"], 0, atol=1e-6)
        assert made["schema"]["columns"]["price"]["std"] == 1


def test_null_unseen_and_rare_brands_are_told_apart(window: Window) -> None:
    rows = [
        session("a", [11, 12], 0, brand="acme"),
        session("b", [12, 11], 1, brand=None),
        session("c", [11, 12], 2, brand="new"),
        session("d", [12, 11], 3),
    ]
    rows[1][0]["brand"] = "once"
    _, made = window(*rows, min_category_support=2)
    assert made["brand"].tolist() == [4, 4, RARE, NULL, UNSEEN, UNSEEN, 4, 4]
    assert made["schema"]["columns"]["brand"]["cardinality"] == 5
    assert pl.read_parquet(ETL / "values/brand.parquet").rows() == [(4, "acme", 2), (RARE, "once", 1)]


def test_what_is_written_is_enough_to_make_the_columns_again(window: Window) -> None:
    """No pickle is needed: schema.json, values/ and vocabulary.parquet hold all that was learned."""
    rows = [session(name, [11, 12, 13], day, price=float(day + 1), brand=f"b{day % 2}") for day, name in enumerate("abcd")]
    _, made = window(*rows)
    schema = json.loads((ETL / "schema.json").read_text())["columns"]
    time = made["timestamp"]
    for name, values in operators.cycle(time).items():
        np.testing.assert_array_equal(made[name], values)
    first_seen = np.append(0, made["vocabulary"]["first_seen"].dt.epoch("us").to_numpy())
    raw = {"item_age": operators.age(made["item_id"], time, first_seen)}
    raw["price"] = np.log1p(np.repeat([1.0, 2.0, 3.0, 4.0], 3))
    for name, values in raw.items():
        np.testing.assert_allclose(made[name], (values - schema[name]["mean"]) / schema[name]["std"], atol=1e-5)
    index = dict(pl.read_parquet(ETL / "values/brand.parquet").select("value", "index").rows())
    assert made["brand"].tolist() == [index[f"b{day % 2}"] for day in range(4) for _ in range(3)]


def test_the_same_input_gives_the_same_bytes(window: Window, days: Days) -> None:
    rng = np.random.default_rng(0)
    many = [session(f"s{n}", list(rng.integers(1, 40, 6)), int(n % 6), brand=f"b{rng.integers(30)}") for n in range(600)]
    window(*many)
    once = hashes()
    window(*many)
    assert hashes() == once
    for file in Path("data/validate").rglob("*.parquet"):  # the order of rows in a file says nothing
        pl.read_parquet(file).sample(fraction=1, shuffle=True, seed=1).write_parquet(file)
    run(etl(), split())
    assert hashes() == once


def test_users_and_pauses_make_sessions_where_ids_are_missing(window: Window) -> None:
    rows = [session(None, [11, 12, 13], day, user_id="ann") for day in range(4)]
    _, made = window(*rows)
    assert made["offsets"].tolist() == [0, 3, 6, 9, 12]
    assert made["session_ids"].select("session_id", "user_id").row(0) == (None, "ann")
    _, by_user = window(*(session(f"s{day}", [11, 12, 13], day) for day in range(4)), sessions_by="user_inactivity")
    assert by_user["item_id"].tolist() == made["item_id"].tolist()


def test_shares_split_a_log_of_one_day(window: Window) -> None:
    rows = [session(f"s{n}", [11, 12], 0) for n in range(10)]
    _, made = window(*rows, cut=split(by="shares"))
    assert made["split"].tolist() == [0] * 6 + [1] * 2 + [2] * 2


def test_what_ran_is_said(window: Window) -> None:
    _, made = window()
    ran = made["summary"]
    assert ran["engine"]["sort"] == "polars in-memory"
    assert ran["engine"]["workflow"] == "nvtabular cpu"
    timed = json.loads((ETL / "run.json").read_text())
    assert set(timed["seconds"]) == {"read", "sessionize", "write", "import nvtabular", "workflow"}
    _, made = window(streaming_events=1)
    assert made["summary"]["engine"]["sort"] == "polars streaming"


def test_a_gpu_asked_for_where_there_is_none(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ParamsError, match=r"etl.engine is gpu, but there is no GPU"):
        window(engine="gpu")


def test_no_validated_days(days: Days) -> None:
    with pytest.raises(DataError, match="run the stages events and validate first"):
        run(etl(), split())


def test_no_event_of_a_kept_type(window: Window) -> None:
    with pytest.raises(DataError, match=r"event types \['view'\]; etl.event_types=\['buy'\]"):
        window(event_types=("buy",))


def test_a_validated_day_cut_short(days: Days) -> None:
    days(*WINDOW)
    file = sorted(Path("data/validate").rglob("*.parquet"))[1]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"day=2026-11-03.*"):
        run(etl(), split())


def test_a_validated_day_without_a_column(days: Days) -> None:
    days(*WINDOW)
    file = min(Path("data/validate").rglob("*.parquet"))
    pl.read_parquet(file).drop("brand").write_parquet(file)
    with pytest.raises(DataError, match="columns are missing: brand"):
        run(etl(), split())


def test_a_single_session(window: Window) -> None:
    with pytest.raises(DataError, match=r"the (train|test) split is empty\n  where  1 session from 2026-11-02 to 2026-11-02"):
        window(WINDOW[0])


def test_no_session_is_long_enough(window: Window) -> None:
    with pytest.raises(DataError, match="there is no session at all"):
        window(session("a", [11], 0), session("b", [12], 3))


def test_a_test_split_emptied_by_unseen_items(window: Window) -> None:
    with pytest.raises(DataError, match="the test split is empty after items outside the vocabulary"):
        window(*WINDOW[:3], session("d", [98, 99], 3))


def test_support_that_no_item_has(window: Window) -> None:
    with pytest.raises(DataError, match=r"etl.min_item_support=50"):
        window(min_item_support=50)
