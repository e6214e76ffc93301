"""Who acts: metrics, logs, usage records.

Lives here: what is counted of each request (metrics.py and its table, catalogue.py), what is written of it (records.py,
logs.py), and the probe of the event loop (lag.py). Never here: anything that decides, prices or routes; figures that
others own (in-flight counts, breakers, power, balances) arrive as callables (views.py).
"""
