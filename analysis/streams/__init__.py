"""Analyses of networks that follow a stream."""
