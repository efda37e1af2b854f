import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipelines.errors import DataError
from pipelines.etl import vocabulary
from pipelines.paths import KNOWN
from tests.pipelines.etl.conftest import DAY0, etl, session

Window = Callable[..., tuple[object, dict[str, object]]]


def training(*events: tuple[int, int]) -> pl.LazyFrame:
    """(item, hours after DAY0)."""
    rows = [(item, int((DAY0 + dt.timedelta(hours=hours)).timestamp()) * 1_000_000) for item, hours in events]
    return pl.LazyFrame(rows, schema={"item_id": pl.Int64, "timestamp": pl.Int64}, orient="row")


def known(*items: int, key: str | None = None) -> pl.DataFrame:
    rows = {"item_id": items, "item_key": key, "index": range(1, len(items) + 1), "first_seen": DAY0, "count": 9}
    return pl.DataFrame(rows, schema=vocabulary.SCHEMA)


def test_new_items_follow_the_known_ones_by_first_appearance_then_id() -> None:
    grown = vocabulary.grow(known(50, 7), training((9, 2), (3, 1), (5, 2), (7, 0)), None, etl())
    assert grown.select("item_id", "index").rows() == [(50, 1), (7, 2), (3, 3), (5, 4), (9, 5)]


def test_support_is_asked_of_new_items_only() -> None:
    grown = vocabulary.grow(known(50), training((3, 0), (3, 1), (4, 0), (50, 0)), None, etl(min_item_support=2))
    assert grown["item_id"].to_list() == [50, 3]


def test_nothing_with_enough_support_says_which_setting_to_lower() -> None:
    with pytest.raises(DataError, match=r"lower etl.min_item_support in params.yaml to 2 or less"):
        vocabulary.grow(known(), training((3, 0), (3, 1), (4, 0)), None, etl(min_item_support=3))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (known(5, 6).with_columns(pl.col("index") + 1), "a gap or a repeated index: 2 where 1 must stand"),
        (known(5, 5), r"gives item 5 the indices \[1, 2\]"),
        (known(5).drop("first_seen"), "cannot be read"),
        (known(5).with_columns(pl.lit("x").alias("index")), "cannot be read"),
    ],
)
def test_a_known_vocabulary_that_contradicts_itself_is_refused(broken: pl.DataFrame, said: str, tmp_path: Path) -> None:
    broken.write_parquet(tmp_path / "known.parquet")
    with pytest.raises(DataError, match=said):
        vocabulary.read_known(tmp_path / "known.parquet")


def test_a_known_vocabulary_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.parquet"
    known(*range(100)).write_parquet(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="known vocabulary cannot be read"):
        vocabulary.read_known(path)


def test_a_known_vocabulary_of_another_source_is_refused() -> None:
    keys = pl.DataFrame({"item_id": [50], "item_key": ["shoe"]})
    with pytest.raises(DataError, match="other items here: 50 was 'hat', is 'shoe'"):
        vocabulary.grow(known(50, key="hat"), training((50, 0)), keys, etl())
    with pytest.raises(DataError, match="other items here: 50 was 'hat', is None"):
        vocabulary.grow(known(50, key="hat"), training((50, 0)), None, etl())


def test_an_item_keeps_its_index_in_the_next_window(window: Window) -> None:
    _, first = window()
    KNOWN.parent.mkdir(parents=True)
    before = first["vocabulary"]
    assert isinstance(before, pl.DataFrame)
    before.write_parquet(KNOWN)
    _, later = window(session("a", [99, 13], 0), session("c", [13, 99], 2), session("d", [12, 99], 3))
    after = later["vocabulary"]
    assert isinstance(after, pl.DataFrame)
    assert after["item_id"].to_list() == [11, 12, 13, 99]
    assert after["count"].to_list() == [0, 0, 1, 1]
    assert after.drop("count").head(3).equals(before.drop("count"))


def test_text_ids_lead_back_to_their_text_and_may_not_collide(window: Window) -> None:
    keyed = [session(name, [1, 2], day) for day, name in enumerate("abcd")]
    for row in (row for rows in keyed for row in rows):
        row["item_key"] = {1: "shoe", 2: "hat"}[row["item_id"]]
    _, made = window(*keyed)
    words = made["vocabulary"]
    assert isinstance(words, pl.DataFrame)
    assert words.select("item_key", "index").rows() == [("shoe", 1), ("hat", 2)]
    keyed[0][0]["item_key"] = "sock"
    with pytest.raises(DataError, match="item 1 stands for two texts, 'shoe' and 'sock'"):
        window(*keyed)
