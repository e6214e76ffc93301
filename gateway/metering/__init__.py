"""Who thinks: how much. Token counts and ratios, prices, energy, carbon, attribution; reads profile documents.

Pure: no clock, no chance, no network. Threads for large texts are given from outside.
"""
