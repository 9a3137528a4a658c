"""Does what is served do what was trained? Comparisons of what two programs said; pure data."""
