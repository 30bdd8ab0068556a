"""Jobs from outside: how a run is written for Slurm, started, watched and started again. Nothing here runs a network."""
