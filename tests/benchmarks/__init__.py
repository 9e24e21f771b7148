"""What measures, not what tests: `python -m tests.benchmarks NAME`. The figures are in README.md.

A benchmark is a module with `add_arguments(parser)` and `contenders(options)`; the latter gives each
contender's name and a function that runs it once. The first contender is the yardstick.
"""
