"""Alone knows every room, and wires them: settings, assembly, serve, demo."""
