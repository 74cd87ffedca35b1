"""The pip build: what setup.py and pyproject.toml call. No part of the wheel."""
