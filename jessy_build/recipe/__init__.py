"""Text → a typed recipe, or every problem of it at once. Asks no network."""
