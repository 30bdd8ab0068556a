"""Data, the loop, configuration, presets, progress: what turns a strategy into a job."""
