"""rees46: the nine-column event log of the REES46 shops (2019-Oct.csv, .csv.gz or parquet).

`remove_from_cart` becomes `remove`. category_id is the same tree as category_code and is not used. Prices of 0 and
empty category_code, brand and user_session are usual in these data.

Source  https://rees46.com/en/datasets
"""

from __future__ import annotations

from pipelines import columns
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams

COLUMNS = {
    columns.TIME: "event_time",
    columns.EVENT: "event_type",
    columns.ITEM: "product_id",
    columns.CATEGORY: "category_code",
    columns.BRAND: "brand",
    columns.PRICE: "price",
    columns.USER: "user_id",
    columns.SESSION: "user_session",
}


def layout(events: EventsParams) -> Layout:
    return Layout(
        columns=COLUMNS,
        others=("category_id",),
        suffixes=(".csv", ".parquet"),
        zone=events.time_zone,
        events={"remove_from_cart": "remove"},
    )
