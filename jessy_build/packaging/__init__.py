"""Turn models into files that other programs load: GGUF in, GGUF out."""
