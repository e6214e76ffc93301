"""`python -m benchmarks`: see `benchmarks/gateway.py`."""

from benchmarks.gateway import main

main()
