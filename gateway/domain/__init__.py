"""Values the whole house speaks of: calls, profiles, usage, amounts, budgets, decisions, records.

Lives here: frozen dataclasses, enums, exceptions that name whose fault it was, and the strict reader of documents.
Never here: I/O, clocks, chance, and anything that decides.
"""
