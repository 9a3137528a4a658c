"""What a text says: phrases in it, and which of its words are Turkish or English."""
