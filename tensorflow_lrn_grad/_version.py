"""The version, for both builds and for the package."""

__version__ = "0.1.0"
