"""How a question runs: on one process, or on ranks.

A question of several ranks is an ordinary pytest file that every rank runs, started by mpirun or srun like any MPI program; only
rank 0 reports. The other way, a bench that starts mpirun itself, could not be given nodes by Slurm.

    python -m pytest bench/bench_gemm.py [--quick] [--output FILE]         mpirun -n 2 python -m pytest bench/bench_allreduce.py

`shoal bench` types these.
"""

from contextlib import ExitStack
from pathlib import Path

import machine
import pytest
from measure import ROUND, ROUNDS, Measure, Slowest
from peers import torch
from threadpoolctl import threadpool_limits

from shoal.jobs.measured import Result
from shoal.kernels.cpu import threads
from shoal.mpi import agreement, fatal
from shoal.mpi.start import connect


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="few, tiny cases: whether it runs, not how fast")
    parser.addoption("--output", type=Path, help="the result as JSON")


def pytest_configure(config):
    config.comm, config.cases = connect(deadline=600, backend="cpu"), {}
    config.fair = min(agreement.threads(config.comm), threads.cap())


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.comm.rank and reporter:
        session.config.pluginmanager.unregister(reporter)


def pytest_collection_modifyitems(config, items):
    """A quick run takes the first and the last case of each function; a question of several ranks needs them."""
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=Slowest(config.comm)))
        if (ranks := getattr(item.module, "RANKS", 1)) > config.comm.size:
            item.add_marker(pytest.mark.skip(reason=f"start it with mpirun -n {ranks}"))
    if config.option.quick:
        ends = {}
        for item in items:
            ends.setdefault(item.originalname, [item, item])[1] = item
        items[:] = [item for item in items if item in ends[item.originalname]]


def pytest_exception_interact(node, call):
    """One rank's error ends all."""
    if node.config.comm.size > 1:
        fatal.end(node.config.comm, call.excinfo.value)


def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if not (config.option.output and config.cases and exitstatus == 0 and config.comm.rank == 0):
        return
    module, ranks, quick = session.items[0].module, config.comm.size, config.option.quick
    question = Path(module.__file__).stem.removeprefix("bench_")
    command = f"shoal bench {question}" + f" --ranks {ranks}" * (ranks > 1) + " --quick" * quick
    setting = {"ranks": ranks, "threads": config.fair, "rounds": 2 if quick else pace(module)[0]}
    result = Result(question, command, setting, machine.machine(), config.cases, getattr(module, "TARGETS", []))
    config.option.output.write_text(result.text(), encoding="utf-8")


def pace(module):
    """(rounds, seconds of calls in each): a question of very many cases says its own."""
    return getattr(module, "PACE", (ROUNDS, ROUND))


@pytest.fixture
def comm(request):
    return request.config.comm


@pytest.fixture
def quick(request):
    return request.config.option.quick


@pytest.fixture
def measure(benchmark, request, comm, quick, use_threads):
    """The Measure of this case, which goes into the result under the parameters of its test."""
    use_threads(0)
    measure = Measure(benchmark, comm, quick, *pace(request.module))

    def one(*args, **kwargs):
        case = request.config.cases[benchmark.param or benchmark.name.removeprefix("bench_")] = measure(*args, **kwargs)
        return case

    return one


@pytest.fixture
def use_threads(request):
    """use_threads(n): in this test kernels, OpenBLAS and PyTorch have n threads; 0 is all that this rank may use. Their number."""
    with ExitStack() as stack:

        def use(n):
            n = n or request.config.fair
            threads.set_threads(n)
            stack.enter_context(threadpool_limits(n))
            if torch:
                torch.set_num_threads(n)
            return n

        yield use
