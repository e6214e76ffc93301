"""Who thinks: may we, and where. Windows, claims, the router, breaker and estimators; reads policy documents.

Pure: no clock, no chance, no I/O. Time and random numbers arrive as arguments.
"""
