"""Attacks on a running study, many times over, with real processes and real signals.

    python -m tests.campaigns NAME [--n N] [--seed S] [--json]

Each attempt starts a small study in a new store, does it harm, runs the same command again, and compares with a study
that nobody disturbed: numbers, values, scores, stops, and the hashes of all weights and predictions. No failure in n
attempts bounds the rate of failures at 3/n with 95 % confidence.
"""
