"""Who acts: facts from outside the request path that ship with the package or arrive as files.

Lives here: list prices, grid factors, profiles' files, vocabularies and the counter that reads them.
Never here: arithmetic on them (metering), and anything that waits for a network.
"""
