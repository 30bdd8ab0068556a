"""How long until something happens: an import, the help, a first step with kernels compiled before and without?

Each is a process of its own, against one of Python that does nothing; the first step with a warm cache against a cold one,
and `shoal warm` likewise, on small pictures: how many kernels a network needs, and the seconds they take.
"""

import json
import os
import subprocess
import sys
from statistics import median

import pytest

STEP = """
import numpy as np
from shoal.core.context import Context
from shoal.nn import CrossEntropy, Replica
from shoal.nn.models import digits_cnn
model, x = digits_cnn(), np.random.default_rng(0).standard_normal((64, 8, 8, 1), np.float32)
replica, ctx = Replica(model, x.shape[1:]).initialise(0), Context(training=True, samples=np.arange(64))
z, saved = model.forward(replica.p, x, ctx)
model.backward(replica.p, replica.g, saved, CrossEntropy()(z, np.arange(64) % 10, 1 / 64, ctx)[2], ctx)
"""
WAYS = {
    "import shoal": ["-c", "import shoal"],
    "import shoal.nn": ["-c", "import shoal.nn"],
    "--help": ["-m", "shoal", "--help"],
    "first step": ["-c", STEP],
}
PACE = (5, 0.02)  # compiling anew takes long
SMALL = ["data.source=synthetic", "data.samples=64", "train.batch=8"]
NETWORKS = {"lenet": "28,28,1", "resnet50": "32,32,3"}


def process(command, **environment):
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})


@pytest.mark.parametrize("way", WAYS)
def bench_startup(measure, way):
    measure(lambda: process(WAYS[way]), peers={"python": lambda: process(["-c", "pass"])})


def bench_cold(measure, tmp_path):
    """The kernels of a first step are compiled anew each time."""
    folders = iter(tmp_path / str(i) for i in range(1 << 20))
    peers = {"warm cache": lambda: process(WAYS["first step"])}
    measure(lambda: process(WAYS["first step"], SHOAL_CACHE_DIR=str(next(folders))), peers=peers, most=1)


@pytest.mark.parametrize("network", NETWORKS)
def bench_warm(measure, tmp_path, network):
    """All kernels of a network are compiled anew each time."""
    config = tmp_path / "config.toml"
    config.write_text(f'[model]\nname = "{network}"\n[data]\nshape = [{NETWORKS[network]}]\n')
    folders, told = iter(tmp_path / str(i) for i in range(1 << 20)), {"cold": [], "warm": []}

    def warm(name, **environment):
        command = [sys.executable, "-m", "shoal", "warm", str(config), *SMALL, "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment})
        told[name].append(json.loads(done.stdout))

    peers = {"warm cache": lambda: warm("warm")}
    case = measure(lambda: warm("cold", SHOAL_CACHE_DIR=str(next(folders))), peers=peers, most=1)
    case.facts["kernels"] = told["cold"][0]["kernels"]
    case.facts |= {f"{name}, s": median(one["seconds"] for one in told[name][1:]) for name in told}
