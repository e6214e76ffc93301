"""Who thinks: in which wire format.

Parses bodies, rewrites them for an upstream, splits and reads streams, shapes errors.  A wire format is a file
here. Pure: bytes in, values out.
"""
