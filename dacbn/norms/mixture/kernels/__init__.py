"""Compiled normalisation by a mixture per channel: C on CPUs, Triton on GPUs."""
