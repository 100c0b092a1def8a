"""The private engine is the same as the conformance tests'."""

from tests.conformance.conftest import engine

__all__ = ["engine"]
