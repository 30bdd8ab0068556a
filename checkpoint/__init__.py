"""Generations of a run's state on disk, in HDF5; each is believed only when its manifest says so.

    RUN/latest                                     the name of the newest generation, for people and scripts
    RUN/best                                       the same of the one of most merit, where the run says what that is
    RUN/lease.json                                 who may write here: host, pid, start time, token
    RUN/generations/step-00000120/manifest.json    what the generation holds, with checksums; written last
    RUN/generations/step-00000120/rank-0000.h5     one dataset per logical tensor, "model/0.weight"

store.py is the face for training (collective), generation.py the one for reading without ranks.
"""
