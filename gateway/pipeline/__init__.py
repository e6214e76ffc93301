"""One request, one way: estimate, quote, route, reserve, relay, settle, record.

Knows ports, never the rooms behind them.
"""
