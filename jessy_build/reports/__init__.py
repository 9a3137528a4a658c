"""Show a finished build: one HTML page (`html.render`) and a few lines for the terminal."""
