import numpy as np
import pandas as pd
import pytest

from pipelines.etl import operators
from pipelines.features import CYCLE, NULL, RARE, UNSEEN

HOUR = 3_600_000_000


def test_null_unseen_and_rare_are_three_things_and_frequent_values_come_first() -> None:
    lookup = operators.Lookup({"brand": ["once", "often", "later", "twice", "also"]}, min_support=2)
    lookup.fit_finalize({"brand": np.array([4, 1, 3, 0, 2, 2])})  # 4 nulls; `later` stands in no training event
    assert lookup.kept["brand"] == [("often", 3), ("also", 2), ("twice", 2)]
    frame = pd.DataFrame({"brand": np.array([0, 1, 2, 3, 4, 5])})
    columns = type("Columns", (), {"names": ["brand"]})
    assert lookup.transform(columns, frame)["brand"].tolist() == [NULL, RARE, 4, UNSEEN, 6, 5]


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        (4 * 24 + 0, (0.0, 1.0, 0.0, 1.0)),  # Monday 1970-01-05, midnight
        (4 * 24 + 6, (1.0, 0.0, 0.0, 1.0)),
        (0 + 18, (-1.0, 0.0, np.sin(6 * np.pi / 7), np.cos(6 * np.pi / 7))),  # Thursday 1970-01-01
    ],
)
def test_time_goes_round(hours: int, expected: tuple[float, ...]) -> None:
    made = operators.cycle(np.array([hours * HOUR]))
    np.testing.assert_allclose([made[name][0] for name in CYCLE], expected, atol=1e-6)


def test_age_is_the_log_of_days_and_never_negative() -> None:
    first_seen = np.array([0, 24 * HOUR])
    ages = operators.age(np.array([1, 1, 1]), np.array([24 * HOUR, 96 * HOUR, 0]), first_seen)
    np.testing.assert_allclose(ages, [0.0, np.log(4.0), 0.0], atol=1e-6)
