"""What is minimised: the mean over P states of how badly each one's next item is told from others.

Scores are never kept for all states at once, and their gradients are made beside them: memory does not grow with
states x items. Under autocast products are made in its number type, sums in float32.
"""

from models.core.losses.chunks import NUMBERS_AT_ONCE
from models.core.losses.full import full_softmax
from models.core.losses.pairs import bpr_max, gbce
from models.core.losses.sampled import sampled_softmax

__all__ = ["NUMBERS_AT_ONCE", "bpr_max", "full_softmax", "gbce", "sampled_softmax"]
