"""`shoal export`: the weights of a checkpoint as a file that other programs read."""

from __future__ import annotations

import json
from pathlib import Path

from ..checkpoint.history import best as best_of
from ..checkpoint.history import newest, open_generation
from ..nn import exchange, models
from . import tables, weights
from .config import Config
from .weights import Weights


def export(checkpoint: Path, file: Path, torch: bool = False, best: bool = False) -> str:
    """Writes FILE.safetensors or FILE.npz from a run folder or generation; one line about it.

    torch: a state_dict, in PyTorch's names and axes; torchvision's names for the models it has.
    """
    generation = open_generation(checkpoint, choose=best_of if best else newest)
    config = tables.read(Config, generation.meta["config"])
    shape, outputs = tuple(generation.meta["shape"]), int(generation.meta["outputs"])
    arrays, facts = weights.of_generation(generation), dict(weights.OURS)
    if torch:
        model = models.build(config.model.name, shape, outputs, **config.model.options)
        arrays, facts = exchange.to_torch(model, shape, arrays, config.model.name), dict(weights.PYTORCH)
    facts |= {"model": config.model.name, "options": json.dumps(config.model.options)}
    facts |= {"shape": json.dumps(shape), "outputs": str(outputs), "step": str(generation.meta["step"])}
    weights.write(file, Weights(arrays, facts))
    return f"{len(arrays)} tensors of {config.model.name} after step {generation.meta['step']} in {file}"
