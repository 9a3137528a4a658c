"""Build fine-tuned personas from one declarative recipe."""

__version__ = "0.1.0"
