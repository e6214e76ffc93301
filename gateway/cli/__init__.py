"""Parses arguments and calls one function of bootstrap."""
