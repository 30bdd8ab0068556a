"""Words everybody uses: shapes, specs, contexts, partitions, errors, events, random keys.

Nothing here computes on arrays, so every room may import it and it loads in milliseconds.
"""
