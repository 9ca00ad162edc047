"""Trials on the workers of a Dask cluster.

The driver's side: `driver` (the face), `session` (one opening), `station` (one Dask worker, seen
from here), `cluster` (the connection). On the Dask workers: `agent` (in the worker's own process)
and `host` (a process beside it that keeps a `Pool`, as `Local` does). `cargo` is for both.
"""
