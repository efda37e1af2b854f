import numpy as np
import pytest

from pipelines.split import TEST, SplitParams, assign, resolve

AUTO = SplitParams(by="auto", valid_days=1, test_days=2, valid_share=0.1, test_share=0.2)
DAY = 86_400_000_000


@pytest.mark.parametrize(("num_days", "meant"), [(1, "shares"), (5, "shares"), (6, "days"), (30, "days")])
def test_auto_cuts_by_days_where_half_of_them_are_left_for_training(num_days: int, meant: str) -> None:
    assert resolve(np.arange(num_days) * DAY, AUTO).by == meant


def test_auto_on_one_hour_takes_shares_of_the_sessions() -> None:
    parts = assign(np.arange(10) * 60_000_000, AUTO)
    assert list(parts) == [0] * 7 + [1] + [TEST] * 2
