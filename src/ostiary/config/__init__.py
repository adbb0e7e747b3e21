"""The configuration: one typed section a file, read from YAML and the environment.

A part of the gateway imports its own section's file and nothing else from here; only
`settings.py`, `load.py` and what migrates legacy files know the whole, and only `app.py` and `cli/` read
it. The names, the defaults and what is in force in this release stand in docs/reference/configuration.md.
"""
