"""Indices of a categorical column: null, unseen and rare are three different things."""

PADDING, NULL, UNSEEN, RARE, FIRST_VALUE = 0, 1, 2, 3, 4
"""Values with enough training events begin at FIRST_VALUE."""
