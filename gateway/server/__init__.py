"""Who asks: HTTP callers and operators.

Framing guards, headers, routes, errors; the one place that knows status codes.
"""
