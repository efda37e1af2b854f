"""The embedded shop: the same bytes for the same seed, every kind of dirt, and something to learn."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from pipelines.events import dirt, shop
from pipelines.events.params import EventsParams, SimulateParams

ROWS = 40_000


@pytest.fixture
def settings(settings_of: Callable[..., EventsParams]) -> Callable[..., SimulateParams]:
    def changed(**changes: object) -> SimulateParams:
        base = {"num_events": ROWS, "num_items": 300, "num_interests": 6, "days": 4}
        return settings_of(**{f"simulate__{name}": value for name, value in (base | changes).items()}).simulate

    return changed


Settings = Callable[..., SimulateParams]


def lines(settings: SimulateParams) -> list[str]:
    texts = [text.decode("utf-8", errors="replace") for _, text in shop.days(settings)]
    return [line for text in texts for line in text.split("\n")[1:-1]]


def test_same_seed_same_bytes_other_seed_other_bytes(settings: Settings) -> None:
    first, again, other = (list(shop.days(settings(seed=seed))) for seed in (1, 1, 2))
    assert first == again
    assert all(a[1] != b[1] for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("num_events", "num_items", "num_interests", "days"), [(100, 20, 1, 1), (500, 20, 30, 9), (10_007, 5000, 3, 2)]
)
def test_the_number_of_rows_is_exact(settings: Settings, num_events: int, num_items: int, num_interests: int, days: int) -> None:
    chosen = settings(num_events=num_events, num_items=num_items, num_interests=num_interests, days=days)
    assert len(lines(chosen)) == num_events


def test_rows_stand_in_time_order_inside_their_day(settings: Settings) -> None:
    for day, text in shop.days(settings(dirty_share=0.0)):
        times = [line[:19] for line in text.decode().split("\n")[1:-1]]
        assert times == sorted(times)
        assert {time[:10] for time in times} == {day}


def test_every_kind_of_dirt_is_there_in_its_share(settings: Settings) -> None:
    clean, dirty = lines(settings(dirty_share=0.0)), lines(settings(dirty_share=0.03))
    assert len(dirt.KINDS) + 1 == 19
    soiled: dict[int, str] = {}
    kinds: set[str] = set()
    for day, text in shop.days(settings(dirty_share=0.03)):
        rows = text.split(b"\n")[1:-1]
        soiled[len(soiled)] = day
        checks = {
            "time_text": b"yesterday," in text,
            "price_negative": b",-" in text,
            "event_unknown": b",hover," in text,
            "duplicate": any(a == b for a, b in itertools.pairwise(rows)),
            "bytes": dirt.BAD_BYTES in text,
            "mojibake": "\ufffd".encode() in text,
            "cut": any(row.count(b",") == 5 for row in rows),
            "comma": any(row.count(b",") == 9 for row in rows),
            "item_text": b",SKU-" in text,
            "price_text": b",n/a," in text,
            "no_visitor": any(row.endswith(b",,") for row in rows),
            "empty_line": b"" in rows,
            "time_past": b"1970-01-01" in text,
            "time_future": b"\n2027-" in text,
            "item_empty": any(row.split(b",")[2:3] == [b""] for row in rows),
            "event_empty": any(row.split(b",")[1:2] == [b""] for row in rows),
            "time_epoch_ms": any(row[:13].isdigit() for row in rows),
            "price_absurd": any(
                row.split(b",")[6:7] >= [b"90"] and len(row.split(b",")[6]) == 13 for row in rows if row.count(b",") == 8
            ),
        }
        kinds |= {name for name, there in checks.items() if there}
    assert kinds == set(dirt.KINDS)
    # draws of dirt come after those of a day's clicks, so later days differ: the first one alone can be compared
    first_day = next(iter(shop.days(settings(dirty_share=0.0))))[1].count(b"\n") - 1
    changed = sum(a != b for a, b in zip(clean[:first_day], dirty[:first_day], strict=True))
    assert changed == pytest.approx(0.03 * first_day, abs=1)


def test_robots_visit_every_third_day_that_has_room(settings: Settings) -> None:
    chosen = settings(num_events=60_000, dirty_share=0.05)  # 15,000 rows a day, 750 of them dirty
    bots = [text.count(b",bot-") for _, text in shop.days(chosen)]
    assert bots == [0, dirt.BOT_EVENTS, 0, 0]


def test_items_come_in_the_course_of_the_window(settings: Settings) -> None:
    seen: set[str] = set()
    fresh = []
    for _, text in shop.days(settings(dirty_share=0.0, num_events=20_000)):
        items = {line.split(",")[2] for line in text.decode().split("\n")[1:-1]}
        fresh.append(len(items - seen))
        seen |= items
    assert fresh[0] > 200
    assert all(number >= 5 for number in fresh[1:])


def test_the_next_item_follows_from_the_last_one_and_not_from_popularity(settings: Settings) -> None:
    rows = [line.split(",") for line in lines(settings(dirty_share=0.0))]
    names = {name: number for number, name in enumerate(sorted({row[2] for row in rows}))}
    sessions: dict[str, list[int]] = {}
    for row in rows:
        if row[1] == "view":
            sessions.setdefault(row[8], []).append(names[row[2]])
    pairs = np.array([pair for items in sessions.values() for pair in itertools.pairwise(items)])
    half = len(pairs) // 2
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, tuple(pairs[:half].T), 1)
    popular = counts.sum(0)
    last, following = pairs[half:].T

    def mrr_at_20(scores: np.ndarray) -> float:
        rank = (scores >= scores[np.arange(len(following)), following][:, None]).sum(1)
        return float(np.where(rank <= 20, 1 / rank, 0).mean())

    markov, popularity = mrr_at_20(counts[last]), mrr_at_20(np.broadcast_to(popular, (len(last), len(names))))
    assert markov > 0.3
    assert popularity < 0.1
