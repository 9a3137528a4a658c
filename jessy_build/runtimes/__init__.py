"""Who answers a rendered prompt: one module a runtime, all with `open`, `ask` and `stream`."""
