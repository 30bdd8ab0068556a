"""Update rules on flat buffers, learning-rate schedules, clipping.

An optimizer holds hyper-parameters only; its state is a dict of Arenas that the strategy owns, so state is sliced, stashed
and saved exactly as weights are.
"""

from .adaptive import Adagrad, Adam, AdamW, NAdam, QHAdam, RMSprop
from .clip import clip
from .optimizer import Optimizer
from .schedule import SCHEDULES, Constant, Cosine, OneCycle, Polynomial, Step, Warmup
from .sgd import NAG, QHM, SGD, AggMo, Sutskever

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "sutskever": Sutskever,
    "nag": NAG,
    "nadam": NAdam,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "qhm": QHM,
    "qhadam": QHAdam,
    "aggmo": AggMo,
}

__all__ = ["OPTIMIZERS", "SGD", "NAG", "QHM", "AggMo", "Adagrad", "Adam", "AdamW", "NAdam", "QHAdam", "RMSprop"]
__all__ += [
    "Optimizer",
    "clip",
    "Sutskever",
    "SCHEDULES",
    "Constant",
    "Cosine",
    "OneCycle",
    "Polynomial",
    "Step",
    "Warmup",
]
