"""Benchmarks and soaks of the ID service: each writes JSON under results/."""
