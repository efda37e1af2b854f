"""The least seconds an event can take in training on this machine: operations and bytes over the machine's measured rates.

For each event: the network's dense layers, forward and twice backward; for each state with a successor: scores of all its
candidates, forward and twice backward, and an exponential of each. For each step: AdamW reads and writes every weight once.
Products run at the fastest rate that was measured for this shape, nothing waits for memory except the optimizer, dropout,
norms, activations, gathering and Python cost nothing: no code reaches this limit, and its share says how much is left.
"""

from __future__ import annotations

from collections.abc import Mapping

FORWARD_AND_BACKWARD = 3
ADAMW_BYTES = 4 * 7
"""Of a weight: weight, gradient and two moments read, weight and two moments written."""


def seconds_per_event(sizes: Mapping[str, float], rates: Mapping[str, float]) -> dict[str, float]:
    """By part; `all` is their sum, for the cores that multiply also take exponentials and move memory."""
    dense = sizes["parameters"] - sizes["table_parameters"]
    states = sizes["targets_per_step"] / sizes["events_per_step"]
    product = 1e-9 / max(rates["bfloat16_gflop_per_s"], rates["float32_gflop_per_s"])
    parts = {
        "network": FORWARD_AND_BACKWARD * 2 * dense * product,
        "scores": FORWARD_AND_BACKWARD * 2 * states * sizes["hidden_size"] * sizes["candidates"] * product,
        "exponentials": states * sizes["candidates"] * 1e-9 / rates["exp_g_per_s"],
        "optimizer": ADAMW_BYTES * sizes["parameters"] / sizes["events_per_step"] * 1e-9 / rates["memory_gb_per_s"],
    }
    return {**parts, "all": sum(parts.values())}
