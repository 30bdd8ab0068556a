"""`shoal checkpoint export`: the weights of a checkpoint as a file that other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..nn import exchange, models
from . import tables, weights
from .config import Config
from .generations import opened
from .terminal import say_json
from .weights import Weights


def export(checkpoint: Path, file: Path, torch: bool = False, best: bool = False) -> dict[str, Any]:
    """Writes FILE.safetensors or FILE.npz from a run folder or generation; {"file", "tensors", "model", "step", "generation"}.

    torch: a state_dict, in PyTorch's names and axes; torchvision's names for the models it has.
    """
    generation = opened(checkpoint, best)
    config = tables.read(Config, generation.meta["config"])
    shape, outputs = tuple(generation.meta["shape"]), int(generation.meta["outputs"])
    arrays, facts = weights.of_generation(generation), dict(weights.OURS)
    if torch:
        model = models.build(config.model.name, shape, outputs, **config.model.options)
        arrays, facts = exchange.to_torch(model, shape, arrays, config.model.name), dict(weights.PYTORCH)
    facts |= {"model": config.model.name, "options": json.dumps(config.model.options)}
    facts |= {"shape": json.dumps(shape), "outputs": str(outputs), "step": str(generation.meta["step"])}
    weights.write(file, Weights(arrays, facts))
    about = {"model": config.model.name, "step": generation.meta["step"], "generation": str(generation.path)}
    return {"file": str(file), "tensors": len(arrays), **about}


def show(facts: dict[str, Any], as_json: bool) -> None:
    """What was exported, in one line on stdout."""
    if as_json:
        say_json(facts)
    else:
        print("{tensors} tensors of {model} after step {step} in {file}".format(**facts))
