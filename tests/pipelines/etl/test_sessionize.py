import polars as pl
import pytest

from pipelines.etl import sessionize
from tests.pipelines.etl.conftest import etl

SECOND = 1_000_000


def events(*rows: tuple[int | None, int, int, int]) -> pl.DataFrame:
    """(session, user, item, second), in time order; all views."""
    names = ("session_id", "user_id", "item_id", "timestamp")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Int64), orient="row")
    return frame.with_columns(
        pl.col("session_id", "user_id").cast(pl.UInt32), pl.col("timestamp") * SECOND, pl.lit(1).alias("event_type")
    )


def ordered(*rows: tuple[int | None, int, int, int]) -> pl.LazyFrame:
    return sessionize.ordered(sessionize.with_first(events(*rows)).lazy())


def items(frame: pl.LazyFrame) -> list[int]:
    return frame.collect()["item_id"].to_list()


def test_sessions_stand_by_start_and_events_by_time() -> None:
    assert items(ordered((7, 0, 10, 1), (3, 0, 20, 2), (7, 0, 11, 3), (3, 0, 21, 4))) == [10, 11, 20, 21]


def test_repeats_within_a_second_go_even_with_another_item_between() -> None:
    rows = ordered((1, 0, 10, 5), (1, 0, 20, 5), (1, 0, 10, 5), (1, 0, 10, 6))
    assert items(sessionize.distinct(rows, "same_second")) == [10, 20, 10]
    assert items(sessionize.distinct(rows, "consecutive")) == [10, 20, 10]
    assert items(sessionize.distinct(rows, "none")) == [10, 20, 10, 10]


def test_repeats_are_repeats_of_the_same_session_only() -> None:
    rows = ordered((1, 0, 10, 5), (2, 0, 10, 5))
    for how in ("same_second", "consecutive"):
        assert items(sessionize.distinct(rows, how)) == [10, 10]


def test_the_last_events_of_long_sessions_stay_and_short_sessions_go() -> None:
    rows = ordered((1, 0, 10, 1), (1, 0, 11, 2), (1, 0, 12, 3), (2, 0, 20, 4), (3, 0, 30, 5), (3, 0, 31, 6))
    assert items(sessionize.long_enough(rows, 2)) == [10, 11, 12, 30, 31]
    assert items(sessionize.long_enough(rows, 2, 2)) == [11, 12, 30, 31]
    assert items(sessionize.long_enough(rows, 4)) == []


def test_a_pause_cuts_a_users_events_and_a_session_id_does_not_care() -> None:
    rows = events((None, 0, 10, 0), (5, 0, 50, 1), (None, 1, 20, 2), (None, 0, 11, 60), (5, 0, 51, 9_000), (None, 0, 12, 9_001))
    assigned, dropped = sessionize.assign(rows, etl(inactivity_minutes=1), given=6)
    assert assigned["session_id"].to_list() == [6, 5, 8, 6, 5, 7]
    assert dropped == 0


def test_a_row_with_neither_session_nor_user_is_dropped_and_counted() -> None:
    rows = events((None, 0, 10, 0), (1, 0, 11, 1)).with_columns(pl.lit(None, pl.UInt32).alias("user_id"))
    assigned, dropped = sessionize.assign(rows, etl(), given=2)
    assert (assigned["item_id"].to_list(), dropped) == ([11], 1)


@pytest.mark.parametrize("minutes", [0.5, 1])
def test_a_pause_as_long_as_allowed_does_not_cut(minutes: float) -> None:
    rows = events((None, 0, 10, 0), (None, 0, 11, int(minutes * 60))).drop("session_id")
    assigned, _ = sessionize.assign(rows, etl(sessions_by="user_inactivity", inactivity_minutes=minutes), given=0)
    assert assigned["session_id"].to_list() == [0, 0]
