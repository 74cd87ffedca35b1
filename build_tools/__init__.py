"""The pip build: what setup.py and pyproject.toml call. Not part of the wheel."""
