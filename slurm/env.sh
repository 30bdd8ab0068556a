# The environment of the jobs on your cluster, and how it starts ranks. Edit the first part; the rest finds out by itself.

# 1. `shoal` on PATH. sbatch hands on the environment it is called in, so nothing is needed where shoal works there. Else:
# module load openmpi/5                         # the MPI that mpi4py was built with, for `pip install shoal[mpi]`
# source "$HOME/venvs/shoal/bin/activate"

# 2. Compiled kernels. In the home, which nodes mostly share, one node compiles for all of its kind, once. On the node where the
#    home is not shared, not writable or slow: then every node compiles for itself, again when the folder is gone.
export SHOAL_CACHE_DIR=${SHOAL_CACHE_DIR:-$HOME/.cache}
# export SHOAL_CACHE_DIR=/tmp/$USER

# 3. Threads are left to shoal: the cores a rank may use. Some sites set these to 1, which would hold.
unset OMP_NUM_THREADS NUMBA_NUM_THREADS
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}     # since Slurm 22.05 srun does not take it from the job

# 4. How ranks are started. Open MPI's mpirun asks Slurm for the nodes, and would bind each rank to one core if it were not told.
#    MPICH's wheel speaks pmi2 only. The site's own MPI speaks what srun speaks unasked (srun --mpi=list, if not).
#    A command with options of its own is taken as it is: SHOAL_LAUNCHER="mpirun --oversubscribe --bind-to none".
#    As root, Open MPI wants OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 in the environment.
library=$(mpirun --version 2>/dev/null)
if [ -z "${SHOAL_LAUNCHER:-}" ]; then
    case $library in *"Open MPI"*) SHOAL_LAUNCHER=mpirun ;; *) SHOAL_LAUNCHER=srun ;; esac
fi
case $SHOAL_LAUNCHER/$library in
    mpirun/*"Open MPI"*) SHOAL_LAUNCHER="mpirun --map-by slot:pe=$SRUN_CPUS_PER_TASK" ;;
    srun/*HYDRA*) SHOAL_LAUNCHER="srun --mpi=pmi2" ;;
esac
read -ra launcher <<<"$SHOAL_LAUNCHER"
ranks=${SLURM_NTASKS:-$((SLURM_JOB_NUM_NODES * ${SLURM_NTASKS_PER_NODE:-1}))}
