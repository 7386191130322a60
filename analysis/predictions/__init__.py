"""Predictions of a network, and the calibration of its confidence."""
