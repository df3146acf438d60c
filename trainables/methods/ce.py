"""Cross-entropy (CE): the baseline, which memorises wrong labels when it trains for long."""

from trainables.methods._base import METHODS, Method

METHODS.register("ce")(Method)
