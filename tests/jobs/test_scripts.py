"""The scripts in slurm/, run without Slurm: what they do with signals and exit codes, and how they start ranks.

mpirun, srun and scontrol are stand-ins that write down how they were called; the scripts are the real ones. What only a
real cluster can show is in tests/slurm.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from desk import ROOT, Desk, ended

OPENMPI = '[ "$1" != --version ] || { echo "mpirun (Open MPI) 5.0.11"; exit; }\n'
HYDRA = '[ "$1" != --version ] || { echo "HYDRA build details:"; exit; }\n'
# Ranks that train until they are asked to stop: they save, and say who asked.
RANKS = OPENMPI + (
    "trap 'echo saved for USR1; exit 75' USR1\n"
    "trap 'echo saved for TERM; exit 75' TERM\n"
    "touch training\n"
    "while :; do sleep 0.02; done"
)
SCRIPTS = sorted(path.name for path in (ROOT / "slurm").iterdir())


def test_the_scripts_are_those_of_the_package() -> None:
    """slurm/ is for people who copy; what `shoal submit` writes is made of the package's."""
    for name in ("train.sbatch", "env.sh"):
        assert (ROOT / "slurm" / name).read_bytes() == (ROOT / "jobs" / name).read_bytes()


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_reads_the_script(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / "slurm" / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_of_a_job_has_its_reason_beside_it() -> None:
    """In train.sbatch; the other scripts say that theirs are explained there."""
    settings = [line for line in (ROOT / "slurm" / "train.sbatch").read_text().splitlines() if "SBATCH --" in line]
    assert len(settings) > 10
    assert [line for line in settings if line.count(" # ") != 1 and "job-name" not in line] == []


# ------------------------------------------------------------------------------------------------ signals and codes


@pytest.mark.parametrize("code", [0, 3, 137])
def test_the_job_ends_with_the_code_of_its_ranks(desk: Desk, code: int) -> None:
    desk.program("mpirun", f"{OPENMPI} exit {code}")
    desk.program("scontrol", "")
    desk.ended()
    assert desk.run("slurm/train.sbatch").returncode == code
    assert desk.calls("scontrol") == []


@pytest.mark.parametrize("started", [True, False])
def test_a_launcher_s_zero_is_not_believed_of_a_run_that_has_not_ended(desk: Desk, started: bool) -> None:
    """Open MPI's mpirun ends with 0 where it loses a node (seen in tests/slurm)."""
    desk.program("mpirun", OPENMPI)
    desk.program("scontrol", "")
    if started:
        desk.ended(last="checkpoint")
    assert (desk.run("slurm/train.sbatch").returncode, desk.calls("scontrol")) == (6, ["requeue 7"])


@pytest.mark.parametrize("code", [0, 75])
def test_a_job_that_slurm_has_ended_is_not_queued_again(desk: Desk, code: int) -> None:
    """scancel's signal may end mpirun before it reaches the shell. With mpirun's 0 the job came back and completed."""
    desk.program("mpirun", f"{OPENMPI} exit {code}")
    desk.program("scontrol", "")
    desk.program("squeue", "echo COMPLETING")
    assert desk.run("slurm/train.sbatch").returncode == (code or 6)
    assert desk.calls("scontrol") == []


def test_a_killed_launcher_is_a_failed_job(desk: Desk) -> None:
    desk.program("mpirun", f"{OPENMPI} kill -KILL $$")
    desk.program("scontrol", "")
    assert desk.run("slurm/train.sbatch").returncode == 128 + signal.SIGKILL
    assert desk.calls("scontrol") == []


@pytest.mark.parametrize("times", [1, 3])
def test_usr1_reaches_the_ranks_and_75_queues_the_job_again_once(desk: Desk, times: int) -> None:
    desk.program("mpirun", RANKS)
    desk.program("scontrol", "")
    job = desk.start("slurm/train.sbatch")
    desk.until("training")
    for _ in range(times):  # an impatient user sends it by hand, then the limit comes near
        os.kill(job.pid, signal.SIGUSR1)
    done = ended(job)
    assert (done.returncode, desk.calls("scontrol")) == (75, ["requeue 7"])
    assert done.stdout == "saved for USR1\n"


def test_ranks_that_finish_in_spite_of_usr1_are_done(desk: Desk) -> None:
    """The signal interrupts the shell's wait, whose status is not the ranks'."""
    desk.program("mpirun", RANKS.replace("exit 75", "exit 0"))
    desk.ended()
    desk.program("scontrol", "")
    job = desk.start("slurm/train.sbatch")
    desk.until("training")
    os.kill(job.pid, signal.SIGUSR1)
    assert (ended(job).returncode, desk.calls("scontrol")) == (0, [])


def test_ranks_that_saved_unasked_by_this_shell_are_queued_again_too(desk: Desk) -> None:
    """scancel --signal=USR1 without --batch goes to the ranks that srun started, past the script."""
    desk.program("mpirun", f"{OPENMPI} exit 75")
    desk.program("scontrol", "")
    assert desk.run("slurm/train.sbatch").returncode == 75
    assert desk.calls("scontrol") == ["requeue 7"]


def test_a_cancelled_job_is_not_queued_again(desk: Desk) -> None:
    """scancel is SIGTERM: ranks may save and end with 75 as well, but nobody wants them back."""
    desk.program("mpirun", RANKS)
    desk.program("scontrol", "")
    job = desk.start("slurm/train.sbatch")
    desk.until("training")
    os.kill(job.pid, signal.SIGTERM)
    done = ended(job)
    assert (done.returncode, done.stdout) == (75, "saved for TERM\n")
    assert desk.calls("scontrol") == []


def test_where_a_job_may_not_be_queued_again_the_cure_is_said(desk: Desk) -> None:
    desk.program("mpirun", f"{OPENMPI} exit 75")
    desk.program("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    done = desk.run("slurm/train.sbatch")
    assert done.returncode == 75
    assert "presently disabled" in done.stderr and "sbatch the same script again" in done.stderr


# ------------------------------------------------------------------------------------------------------ what is run


def test_the_demo_is_trained_where_nothing_is_said(desk: Desk) -> None:
    desk.program("mpirun", OPENMPI)
    desk.run("slurm/train.sbatch")
    assert desk.calls("mpirun")[-1] == "--map-by slot:pe=1 -n 4 shoal train digits-cnn --resume"


def test_words_after_the_script_are_trained_and_arrays_put_their_number_in(desk: Desk) -> None:
    desk.program("mpirun", OPENMPI)
    words = ("lenet-digits", "train.seed=%a", "run.folder=runs/100%a")
    desk.run("slurm/train.sbatch", *words)
    assert desk.calls("mpirun")[-1].endswith(f"shoal train {' '.join(words)} --resume")
    desk.run("slurm/train.sbatch", *words, SLURM_ARRAY_TASK_ID="3")
    assert desk.calls("mpirun")[-1].endswith("shoal train lenet-digits train.seed=3 run.folder=runs/1003 --resume")


def test_without_its_environment_the_job_says_so(desk: Desk) -> None:
    (desk.folder / "slurm" / "env.sh").unlink()
    done = desk.run("slurm/train.sbatch")
    assert done.returncode == 3 and "slurm/env.sh" in done.stderr


def test_the_scripts_may_be_in_another_folder(desk: Desk) -> None:
    desk.program("mpirun", OPENMPI)
    desk.ended()
    (desk.folder / "slurm").rename(desk.folder / "cluster")
    assert desk.run("cluster/train.sbatch", SHOAL_SLURM="cluster").returncode == 0


@pytest.mark.parametrize(
    "said, version, launcher",
    [
        ("", OPENMPI, "mpirun --map-by slot:pe=6"),
        ("", HYDRA, "srun --mpi=pmi2"),
        ("", "exit 1", "srun"),
        ("srun", OPENMPI, "srun"),
        ("mpirun", OPENMPI, "mpirun --map-by slot:pe=6"),
        ("srun", HYDRA, "srun --mpi=pmi2"),
        ("mpirun --oversubscribe --bind-to none", OPENMPI, "mpirun --oversubscribe --bind-to none"),
        ("srun --mpi=pmix", "exit 1", "srun --mpi=pmix"),
    ],
)
def test_ranks_are_started_as_their_mpi_wants_it(desk: Desk, said: str, version: str, launcher: str) -> None:
    desk.program("mpirun", version)
    desk.program("srun", "")
    desk.run("slurm/train.sbatch", SHOAL_LAUNCHER=said, SLURM_CPUS_PER_TASK="6")
    assert f"{launcher} -n 4 shoal train digits-cnn --resume" == (
        f"{launcher.split()[0]} {desk.calls(launcher.split()[0])[-1]}"
    )


def test_the_ranks_get_their_threads_from_the_allocation(desk: Desk) -> None:
    """Not from what a site or a shell has set; and srun, which forgets CPUs of the job, is told."""
    desk.program("mpirun", OPENMPI + 'echo "${OMP_NUM_THREADS-none} ${NUMBA_NUM_THREADS-none} $SRUN_CPUS_PER_TASK"')
    setting = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "SLURM_CPUS_PER_TASK": "8"}
    assert desk.run("slurm/train.sbatch", **setting).stdout == "none none 8\n"


def test_a_launcher_may_stand_behind_shoal_run(desk: Desk) -> None:
    """Ranks that die are started again within the job; a signal, and 75, pass through."""
    desk.program("mpirun", OPENMPI + "[ -e died ] || { touch died; exit 137; }\n" + RANKS.removeprefix(OPENMPI))
    desk.program("scontrol", "")
    job = desk.start("slurm/train.sbatch", SHOAL_LAUNCHER="shoal run --max-restarts 1 -- mpirun")
    desk.until("training")
    os.kill(job.pid, signal.SIGUSR1)
    done = ended(job)
    assert (done.returncode, desk.calls("scontrol")) == (75, ["requeue 7"]), done.stderr
    assert desk.calls("mpirun")[-2:] == ["-n 4 shoal train digits-cnn --resume"] * 2


# ----------------------------------------------------------------------------------------------------------- resume


def test_resume_hands_over_to_train_and_keeps_its_signals(desk: Desk) -> None:
    desk.program("mpirun", RANKS)
    desk.program("scontrol", "")
    (desk.folder / "runs" / "a b" / "latest").mkdir(parents=True)
    job = desk.start("slurm/resume.sbatch", "runs/a b", "train.epochs=9")
    desk.until("training")
    os.kill(job.pid, signal.SIGUSR1)
    assert (ended(job).returncode, desk.calls("scontrol")) == (75, ["requeue 7"])
    words = "shoal train runs/a b/config.toml run.folder=runs/a b train.epochs=9 --resume"
    assert desk.calls("mpirun")[-1].endswith(words)


@pytest.mark.parametrize("words", [(), ("runs/nothing",)])
def test_resume_never_starts_from_nothing(desk: Desk, words: tuple[str, ...]) -> None:
    desk.program("mpirun", OPENMPI)
    done = desk.run("slurm/resume.sbatch", *words)
    assert done.returncode == 5 and "is not the folder of a run" in done.stderr and "cure: " in done.stderr
    assert desk.calls("mpirun") == []


# ---------------------------------------------------------------------------------------------------------- scaling

# What `shoal train --json` prints on so many ranks: 1000, 1600, 2285 samples/s.
TRAINING = r"""[[ "$*" =~ -n\ ([0-9]+) ]]; n=${BASH_REMATCH[1]}
echo "{\"ranks\": $n, \"samples_per_second\": $((n * 4000 / (3 + n))).5, \"communication\": 0.25}"
"""


def test_scaling_measures_1_2_4_ranks_and_compares_them(desk: Desk) -> None:
    desk.program("mpirun", OPENMPI + TRAINING)
    done = desk.run("slurm/scaling.sbatch", "mlp-fashion", SLURM_NTASKS="5")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (desk.folder / "scaling-7" / "results.jsonl").read_text().splitlines()]
    assert [line["ranks"] for line in lines] == [1, 2, 4]
    table = """\
ranks    samples/s   speed-up   efficiency   communication
    1         1000       1.00         100%             25%
    2         1600       1.60          80%             25%
    4         2286       2.28          57%             25%
"""
    assert done.stdout == table == (desk.folder / "scaling-7" / "table.txt").read_text()
    words = "shoal train mlp-fashion run.folder=scaling-7/4-ranks --json"
    assert desk.calls("mpirun")[-1] == f"--map-by slot:pe=1 -n 4 {words}"


def test_scaling_keeps_few_ranks_on_few_nodes(desk: Desk) -> None:
    desk.program("srun", TRAINING)
    assert desk.run("slurm/scaling.sbatch", SHOAL_LAUNCHER="srun").returncode == 0
    assert [call.split(" shoal")[0] for call in desk.calls("srun")] == [
        "--nodes=1 -n 1",
        "--nodes=1 -n 2",
        "--nodes=2 -n 4",
    ]


def test_a_number_of_ranks_that_fails_is_left_out_and_said(desk: Desk) -> None:
    """parallel.mesh.pipeline=2 cannot run on one rank: the table begins with two, and the job has failed with that code."""
    desk.program("mpirun", OPENMPI + '[[ "$*" != *"-n 1 "* ]] || exit 2\n' + TRAINING)
    done = desk.run("slurm/scaling.sbatch")
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ranks", "2", "4"]
    assert "100%" in done.stdout.splitlines()[1]


def test_scaling_asks_a_question_of_shoal_bench_on_2_and_4_ranks(desk: Desk) -> None:
    desk.program("mpirun", OPENMPI)
    done = desk.run("slurm/scaling.sbatch", "bench", "allreduce", SLURM_NTASKS="4")
    assert (done.returncode, done.stdout) == (0, "")
    asked = [call.split("slot:pe=1 ")[1] for call in desk.calls("mpirun") if "shoal" in call]
    words = "shoal bench allreduce --output scaling-7/allreduce"
    assert asked == [f"-n 2 {words}-2.json", f"-n 4 {words}-4.json"]
