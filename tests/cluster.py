"""A real Slurm on this machine: munged, slurmctld and four slurmd on loopback, in a folder and on ports of its own.

A mock of sbatch only proves what its author believes of sbatch. The daemons are the distribution's, so what a test
sees is what a cluster does: requeues, signals before the time limit, steps that are killed, environment variables. The
nodes differ in name, port, spool folder and daemon, not in host: node1 to node4 all are this machine, each said to
have two CPUs, whatever it has. So ranks on different nodes talk over TCP as they would between machines, while a folder
is always shared, and the network is never slow.

Everything that belongs to the cluster, jobs included, carries SLURM_CONF with the path of its configuration in its
environment. By that its processes are found at the end, whatever session they are in.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from launch import ROOT_MAY, Finished, run

NODES = ("node1", "node2", "node3", "node4")
DAEMONS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "scancel", "squeue", "sinfo")
PLACES = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian keeps daemons

# cred_expire is how long a job's credential holds, and so how long a requeued job must wait (120 s unless told).
CONFIGURATION = """
ClusterName=shoal
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=30
SlurmdTimeout=300
MailProg=/bin/true
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 State=UNKNOWN\n"


def installed() -> None:
    """A named skip where Slurm or munge is missing, in CI a failure."""
    missing = [name for name in DAEMONS if not shutil.which(name, path=PLACES)]
    if missing:
        reason = f"Slurm: {', '.join(missing)} not installed (Debian: slurm-wlm, munge)"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}, and CI must run its tests", pytrace=False)
        pytest.skip(reason)


@contextmanager
def started() -> Iterator[Cluster]:
    """A cluster with four idle nodes; its folder and all its processes are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:  # short: a socket's path has at most 107 characters
        cluster = Cluster(Path(name))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class Cluster:
    """environment: what a process needs in order to use it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        path = f"{Path(sys.executable).parent}:{PLACES}"
        self.environment = {**ROOT_MAY, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        ports, host = _free_ports(1 + len(NODES)), socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(host=host, ports=ports, folder=self.folder, user=getpass.getuser())
        nodes = [NODE.format(name=n, host=host, port=port) for n, port in zip(NODES, ports[1:], strict=True)]
        (self.folder / "slurm.conf").write_text(text + "".join(nodes))
        (self.folder / "state").mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        own = [
            f"--{file}={self.folder}/munge.{file.split('-')[0]}"
            for file in ("key-file", "socket", "pid-file", "seed-file")
        ]
        # --force: it warns of a folder that others might write to, as /tmp, instead of refusing it
        self._daemon("munged", "munged", "--foreground", "--force", *own, f"--log-file={self.folder}/munge.log")
        self._until(lambda: (self.folder / "munge.socket").exists(), 20, "munged has made no socket")
        self._daemon("slurmctld", "slurmctld", "-D")
        for name in NODES:
            self.node_up(name)
        self._until(self.idle, 60, "the nodes are not idle")

    def node_up(self, name: str) -> None:
        """Starts its slurmd, marked in its environment as Slurm marks a job's processes."""
        self._daemon(name, "slurmd", "-D", "-N", name, SLURMD_NODENAME=name)

    def node_dies(self, name: str) -> None:
        """All that runs on it ends at once, as when power fails; the controller does not know yet."""
        for pid in self.processes(f"SLURMD_NODENAME={name}"):
            _kill(pid)
        self.daemons.pop(name).wait(10)

    def slurmd_dies(self, name: str) -> None:
        """The node's daemon alone: what it has started runs on."""
        self.daemons[name].kill()
        self.daemons.pop(name).wait(10)

    def node_lost(self, name: str) -> None:
        """The controller learns that a node is gone, as it does after SlurmdTimeout."""
        self.command("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=lost")

    def stop(self) -> None:
        """Jobs first, then the daemons; what is left is killed."""
        if "slurmctld" in self.daemons:
            self.clear(10)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        end = time.monotonic() + 10
        while self.processes() and time.monotonic() < end:
            for daemon in self.daemons.values():
                daemon.poll()  # a child that nobody waits for stays in /proc
            time.sleep(0.05)
        for pid in self.processes():
            _kill(pid)
        for daemon in self.daemons.values():
            daemon.wait(10)

    def clear(self, seconds: float = 60) -> None:
        """Cancels every job and waits until none is left and all nodes are idle again."""
        for name in NODES:
            if name not in self.daemons:
                self.node_up(name)
        self.tell("scancel", f"--user={getpass.getuser()}")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.tell("squeue", "--noheader") and self.idle():
                return
            time.sleep(0.05)

    def idle(self) -> bool:
        states = self.tell("sinfo", "--noheader", "--Node", "--format=%T").split()
        return states == len(NODES) * ["idle"]

    def tell(self, *command: str) -> str:
        """What a short command prints; "" where it fails."""
        environment = {**os.environ, **self.environment}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout if done.returncode == 0 else ""

    def command(self, *command: str, timeout: float = 90, **environment: str) -> Finished:
        """Runs a command that uses the cluster, such as srun, in a session of its own, with a deadline."""
        return run(list(command), timeout, {**self.environment, **environment})

    def sbatch(self, script: str, *options: str, **environment: str) -> Job:
        """Submits a script; its output, of all its starts, goes to one file."""
        file = Path(tempfile.mkstemp(dir=self.folder, suffix=".sbatch")[1])
        file.write_text(script if script.startswith("#!") else f"#!/bin/bash\n{script}\n")
        return self.submit(file, *options, **environment)

    def submit(self, file: Path, *options: str, words: Sequence[str] = (), **environment: str) -> Job:
        """Submits a script that takes these words."""
        output = Path(tempfile.mkstemp(dir=self.folder, suffix=".out")[1])
        told = [f"--output={output}", "--open-mode=append", "--parsable", *options]
        done = self.command("sbatch", *told, str(file), *words, timeout=30, **environment)
        assert done.code == 0, done.text
        return Job(self, done.text.strip(), output)

    def log(self) -> str:
        """The last words of all daemons."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {p.name}\n" + "\n".join(p.read_text(errors="replace").splitlines()[-25:]) for p in logs)

    def _daemon(self, name: str, command: str, *args: str, **mark: str) -> None:
        program = shutil.which(command, path=PLACES)
        assert program
        with (self.folder / f"{name}.start.log").open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            environment = {**os.environ, **self.environment, **mark}
            self.daemons[name] = subprocess.Popen(
                [program, *args], **streams, env=environment, start_new_session=True, cwd=self.folder
            )

    def _until(self, true: Callable[[], bool], seconds: float, problem: str) -> None:
        end = time.monotonic() + seconds
        while not true():
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                pytest.fail(f"{problem} after {seconds} s; ended: {dead}\n{self.log()}", pytrace=False)
            time.sleep(0.05)

    def processes(self, mark: str = "") -> list[int]:
        """The processes of the cluster, those of one mark in their environment if given (Linux)."""
        marks = {f"SLURM_CONF={self.folder}/slurm.conf", mark} - {""}
        return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and marks <= _environment(int(p.name))]


@dataclass
class Job:
    """A submitted job.   id: its number.   output: the file of what it printed."""

    cluster: Cluster
    id: str
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def facts(self) -> dict[str, str]:
        """What scontrol knows of it: JobState, ExitCode, Restarts and so on."""
        words = self.cluster.tell("scontrol", "--oneliner", "show", "job", self.id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def until(self, true: Callable[[], bool], seconds: float = 60, what: str = "the event") -> None:
        """Waits for an event; the test fails, with all that was said, if it does not come."""
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                self.fail(f"{what} did not come within {seconds} s")
            time.sleep(0.05)

    def ended(self, seconds: float = 90) -> str:
        """Waits for its end, requeues included; its last state, such as COMPLETED, FAILED or CANCELLED."""
        done = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE")
        self.until(lambda: self.facts().get("JobState", "") in done, seconds, f"the end of job {self.id}")
        return self.facts()["JobState"]

    def requeued(self) -> None:
        """Waits until Slurm has queued it again."""
        self.until(lambda: self.facts().get("Restarts") == "1", 90, f"the requeue of job {self.id}")

    @property
    def code(self) -> int:
        """The exit code of its script; 128 + the signal that ended it."""
        code, ended_by = self.facts()["ExitCode"].split(":")
        return int(code) or (128 + int(ended_by) if int(ended_by) else 0)

    def gone(self) -> bool:
        """Whether none of its processes is left, on any node; Slurm calls a node idle before that."""
        return self.cluster.idle() and not self.cluster.processes(f"SLURM_JOB_ID={self.id}")

    def signal(self, name: str) -> None:
        """Sends a signal to the batch script alone, as --signal=B: does before the time limit."""
        self.cluster.command("scancel", "--batch", f"--signal={name}", self.id)

    def cancel(self) -> None:
        self.cluster.command("scancel", self.id)

    def fail(self, problem: str) -> None:
        facts = self.facts()
        self.cluster.tell("scancel", self.id)
        pytest.fail(f"{problem}\n{facts}\n--- said:\n{self.said}\n{self.cluster.log()}", pytrace=False)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def _environment(pid: int) -> set[str]:
    try:
        return set(Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0"))
    except OSError:  # it has ended, or is another user's
        return set()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
