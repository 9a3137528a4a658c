"""Score answers by rule: how many of the things that a suite expects of them hold."""
