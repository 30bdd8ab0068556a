"""`shoal submit`: the script of a configuration, word for word, and all that is refused before a queue is waited for."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from desk import Desk

from shoal.core.errors import PlatformError, ShoalError, UsageError
from shoal.jobs.script import Allocation, ours, script
from shoal.jobs.submit import prepare, seconds, submit
from shoal.mpi.alone import Alone
from shoal.train import start
from shoal.train.config import load
from shoal.train.progress import Silent

Shoal = Callable[..., "subprocess.CompletedProcess[str]"]
DEMO = Allocation(nodes=1, ranks_per_node=2, cpus_per_rank=1, time="01:00:00", mem=0)
READ_ENV = next(line for line in ours("train.sbatch").splitlines() if line.startswith('. "'))


def lines_changed(text: str) -> list[str]:
    """The lines in which a script differs from train.sbatch, apart from the environment that it carries."""
    assert ours("env.sh").strip() in text
    compared = text.replace("\n" + ours("env.sh").rstrip(), READ_ENV).splitlines()
    changes = difflib.ndiff(ours("train.sbatch").splitlines(), compared)
    return [line for line in changes if line[0] in "+-"]


# ---------------------------------------------------------------------------------------------------------- the script


def test_the_demo_s_script_is_train_sbatch() -> None:
    assert lines_changed(script(["digits-cnn"], "digits-cnn", DEMO)) == []


def test_a_configuration_changes_these_lines_and_no_others() -> None:
    asked = Allocation(4, 1, 8, "2-00:30:00", "long", "proj-7", "srun --mpi=pmix", 2000)
    text = script(["lenet-fashion", "optim.lr=0.02"], "my net", asked)
    assert [line for line in lines_changed(text) if line[0] == "+"] == [
        "+ #SBATCH --job-name=my-net",
        "+ #SBATCH --nodes=4                   # machines",
        "+ #SBATCH --ntasks-per-node=1         # ranks on each machine; half of them with twice the CPUs send half as much",
        "+ #SBATCH --cpus-per-task=8           # CPUs of a rank: its kernels use so many threads",
        "+ #SBATCH --time=2-00:30:00           # to be taken sooner ask for less: the run goes on in the next job anyway",
        "+ #SBATCH --mem=2000M                 # of each node; without it the cluster's default, which may be little",
        "+ #SBATCH --partition=long            # sinfo lists them",
        "+ #SBATCH --account=proj-7            # sacctmgr show associations user=$USER lists them",
        "+ SHOAL_LAUNCHER='srun --mpi=pmix'       # how ranks are started: mpirun for Open MPI, srun for others; where empty, "
        "env.sh finds out",
        "+ [ $# -gt 0 ] || set -- lenet-fashion optim.lr=0.02",
    ]


def test_a_cluster_s_own_lines_come_before_the_environment(tmp_path: Path) -> None:
    own = tmp_path / "site.sh"
    own.write_text("module load openmpi/5\n")
    text = script(["digits-cnn"], "digits-cnn", replace(DEMO, env=own))
    assert text.index("module load openmpi/5\n") < text.index(ours("env.sh").strip())


WORDS = [
    "digits-cnn",
    "run.folder=runs/my $HOME run",
    "data.mean=[0.5, 1]",
    "data.labels=['a\"b', 'c']",
    "x=`ls`;*",
    "y=\\ !",
]


def test_settings_arrive_as_they_were_given(desk: Desk) -> None:
    """Spaces, brackets, quotes, what a shell would expand, and what a regular expression would."""
    desk.program("mpirun", 'printf "<%s>\\n" "$@"')
    (desk.folder / "job.sbatch").write_text(script(WORDS, "run", DEMO))
    done = desk.run("job.sbatch", SHOAL_LAUNCHER="mpirun")
    assert done.stdout.splitlines()[-len(WORDS) - 1 :] == [*(f"<{word}>" for word in WORDS), "<--resume>"]


def test_the_script_carries_all_it_needs(desk: Desk, shoal: Shoal) -> None:
    """Written here, run where there is no folder slurm."""
    assert shoal("submit", "digits-cnn", "--launcher", "mpirun", "--output", "job.sbatch").returncode == 0
    assert subprocess.run(["bash", "-n", "job.sbatch"], check=False).returncode == 0
    (desk.folder / "slurm").rename(desk.folder / "elsewhere")
    desk.program("mpirun", 'shift $#; echo "{}"')
    desk.ended()
    assert desk.run("job.sbatch").returncode == 0
    assert desk.calls("mpirun")[-1] == "-n 4 shoal train digits-cnn --resume"


# --------------------------------------------------------------------------------------------------------- the command


def test_the_script_goes_to_stdout_and_remarks_do_not(shoal: Shoal) -> None:
    done = shoal("submit", "digits-cnn", "--nodes", "3")
    assert done.returncode == 0 and lines_changed(done.stdout) != []
    assert "#SBATCH --nodes=3 " in done.stdout and "#SBATCH --mem=1" in done.stdout
    assert "6 ranks on 3 nodes; 1" in done.stderr and "MiB asked of each node: the forecast is" in done.stderr
    assert "runs/digits-cnn holds no checkpoint: starting at step 0 of 460" in done.stderr
    assert not Path("runs").exists()


def test_run_submits_it_and_prints_the_number_of_the_job(desk: Desk, shoal: Shoal) -> None:
    desk.program("sbatch", "cat >submitted; echo '17;thecluster'")
    done = shoal("submit", "digits-cnn", "--run")
    assert (done.returncode, done.stdout) == (0, "17\n")
    submitted, (written, _) = (
        (desk.folder / "submitted").read_text(),
        prepare("digits-cnn", [], replace(DEMO, mem=None)),
    )
    assert submitted == written
    assert submit(written, Path("job.sbatch")) == "17"
    assert desk.calls("sbatch") == ["--parsable", "--parsable job.sbatch"]


def test_without_sbatch_a_job_cannot_be_submitted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(desk.bin))
    with pytest.raises(PlatformError, match="there is no sbatch on PATH") as told:
        submit("#!/bin/bash\n")
    assert told.value.code == 3 and "leave out --run" in told.value.cure


def test_what_sbatch_refuses_is_told_in_its_words(desk: Desk) -> None:
    desk.program("sbatch", "echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1")
    with pytest.raises(UsageError, match="invalid partition specified: nowhere") as told:
        submit("#!/bin/bash\n")
    assert "--partition" in told.value.cure


def test_help_tells_what_the_job_does(shoal: Shoal) -> None:
    text = " ".join(shoal("submit", "--help").stdout.split())
    assert "--cpus-per-rank" in text and "queues itself again" in text


# -------------------------------------------------------------------------------------------------- what is refused


def refused(
    error: type[ShoalError], problem: str, cure: str, *overrides: str, name: str = "digits-cnn", **asked: object
) -> None:
    with pytest.raises(error) as told:
        prepare(name, overrides, replace(DEMO, **asked))  # type: ignore[arg-type]
    assert problem in told.value.problem and cure in told.value.cure, told.value


@pytest.mark.usefixtures("desk")
class TestRefused:
    def test_a_key_or_a_preset_that_does_not_exist(self) -> None:
        refused(UsageError, "train.epoch is not a key", "train.epochs", "train.epoch=1")
        refused(UsageError, 'no preset "digits"', "digits-cnn", name="digits")

    def test_a_mesh_that_does_not_divide_the_ranks(self) -> None:
        flags = "--nodes 3 x --ranks-per-node 1 = 3 ranks"
        refused(UsageError, "2 places for 3 ranks", flags, "parallel.mesh.pipeline=2", nodes=3, ranks_per_node=1)

    def test_a_mesh_of_more_ranks_than_are_asked_for(self) -> None:
        """The dry run shows such a mesh with the ranks it names; the job would have fewer."""
        refused(UsageError, "8 places for 2 ranks", "--nodes", "parallel.mesh={data=4,pipeline=2}")

    def test_shares_for_other_replicas(self) -> None:
        refused(UsageError, "2 shares", "--nodes 2 x --ranks-per-node 2", "parallel.shares=2,1", nodes=2)
        pipelines = ["parallel.shares=2,1", "parallel.mesh.pipeline=2", "train.micro_batches=4"]
        assert prepare("digits-cnn", pipelines, replace(DEMO, nodes=2))

    def test_a_batch_with_fewer_samples_than_replicas(self) -> None:
        refused(UsageError, "train.batch = 3 for 4 replicas", "--ranks-per-node", "train.batch=3", nodes=2)

    def test_more_threads_than_cpus(self) -> None:
        refused(UsageError, "parallel.threads = 4 on --cpus-per-rank 1", "--cpus-per-rank 4", "parallel.threads=4")

    def test_data_that_are_not_there(self) -> None:
        with pytest.raises(ShoalError) as told:
            prepare("lenet-fashion", ["data.path=nowhere"], DEMO)
        assert told.value.code == 4

    def test_a_run_folder_that_cannot_be_written(self, desk: Desk) -> None:
        (desk.folder / "runs").write_text("a file where the folder should be")
        refused(UsageError, "runs/digits-cnn cannot be written", "run.folder=")

    @pytest.mark.parametrize("time", ["90", "90:00", "1-00", "01:99:00", "soon", "01:00:00 "])
    def test_times_that_could_be_read_in_two_ways(self, time: str) -> None:
        refused(UsageError, f"--time {time} is not a time", "HH:MM:SS", time=time)

    def test_a_time_that_is_over_before_it_began(self) -> None:
        refused(UsageError, "--time 00:03:00 is 180 s", "00:04:00", time="00:03:00")
        assert prepare("digits-cnn", [], replace(DEMO, time="00:04:00"))

    def test_less_memory_than_the_forecast(self) -> None:
        refused(UsageError, "--mem 1 MiB of each node is too little", "--mem", "train.batch=512", mem=1)

    @pytest.mark.parametrize("flag", ["partition", "account"])
    def test_names_that_are_none(self, flag: str) -> None:
        refused(UsageError, f"--{flag} 'a b' is not a name", f"--{flag}", **{flag: "a b"})

    def test_a_launcher_that_is_none(self) -> None:
        refused(UsageError, "neither mpirun nor srun", "--launcher", launcher="ssh")

    def test_an_environment_that_is_not_there(self) -> None:
        refused(UsageError, "--env site.sh is not a file", "leave it out", env=Path("site.sh"))

    def test_a_job_that_would_not_find_shoal(self, desk: Desk) -> None:
        (desk.bin / "shoal").unlink()
        refused(PlatformError, "no shoal on PATH", "--env")
        (desk.folder / "site.sh").write_text("module load shoal\n")
        assert prepare("digits-cnn", [], replace(DEMO, env=Path("site.sh")))


def test_seconds_of_a_time() -> None:
    assert [seconds(time) for time in ("00:04:00", "36:00:01", "2-01:00:00")] == [240, 129601, 176400]


# ------------------------------------------------------------------------------------------------- a run that exists

RUN = ["data.source=synthetic", "data.shape=8,8,1", "data.classes=4", "data.samples=50", "run.folder=run"]
RUN += ["train.backend=reference", "train.batch=20", "train.epochs=2"]


def test_a_run_is_continued_or_refused_as_the_job_would(desk: Desk) -> None:
    """--resume is always on in a job, so a folder that was forgotten would be continued without a word."""
    start.train(load("digits-cnn", RUN), Alone(), Silent())
    _, remarks = prepare("digits-cnn", [*RUN, "train.epochs=3"], DEMO)
    assert "run will be continued at step 4 of 6" in remarks
    refused(UsageError, "run is done: step 4 of 4", "train.epochs", *RUN)
    refused(UsageError, "was trained with train.batch = 20", "train.batch=20", *RUN, "train.batch=10")
    continued, _ = prepare("run/config.toml", ["train.epochs=3"], DEMO)
    assert "set -- run/config.toml train.epochs=3\n" in continued


def test_memory_is_the_forecast_with_a_margin_of_the_fullest_node(desk: Desk) -> None:
    """Two stages, a node each: the heavier counts. A save in the background holds its copy as well."""
    pipeline = ["parallel.mesh.pipeline=2", "train.micro_batches=4", "parallel.cut=count", "train.batch=512"]

    def mem(*more: str, **asked: int) -> int:
        text, _ = prepare("lenet-digits", [*pipeline, *more], replace(DEMO, mem=None, **asked))
        return int(text.split("--mem=")[1].split("M")[0])

    apart, together = mem(nodes=2, ranks_per_node=1), mem()
    assert 512 < apart < together < 2 * apart
    assert mem("checkpoint.background=true") > together
