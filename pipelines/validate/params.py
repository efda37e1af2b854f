"""Settings of validate: the bounds of the expectations."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from pipelines.params import Config

Share = Annotated[float, Ge(0), Le(1)]
Ratio = Annotated[float, Gt(1)]


class ValidateParams(Config):
    """Bounds of the expectations; see pipelines/validate/expectations.py."""

    event_types: Annotated[list[str], Field(min_length=1)]
    """Event types that are known; a row of another type is quarantined."""
    max_price: PositiveFloat
    """Highest price to believe, in the currency of the data."""
    max_session_events: PositiveInt
    """Events a session may have in a day; all rows of a longer one are quarantined as a robot's."""
    max_bad_share: Share
    """Share of a day's rows (and of all rows) that may be quarantined; more stops the run."""
    min_day_rows: NonNegativeInt
    """Good rows a day must have; fewer stop the run."""
    max_volume_ratio: Ratio
    """A day with this many times more or fewer rows than the median day gets a warning."""
    min_session_events: PositiveFloat
    """Good rows per session of a day, on average: fewer get a warning."""
    max_mean_session_events: PositiveFloat
    """Good rows per session of a day, on average: more get a warning."""
    min_day_items: PositiveInt
    """Different items of a day; fewer get a warning."""
    max_new_item_share: Share
    """Share of a day's rows on items no earlier day of the window had; more gets a warning."""
    max_price_ratio: Ratio
    """A day whose median price is this many times the one of the day before (or its inverse) gets a warning."""
    min_hours: Annotated[int, Ge(1), Le(24)]
    """Hours of a day in which something must have happened; fewer get a warning."""
    min_view_share: Share
    """Share of views among a day's rows; a smaller one gets a warning."""
