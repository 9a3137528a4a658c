"""Files that rows are written about, cut into excerpts: one small module a unit."""
