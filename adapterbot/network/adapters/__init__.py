"""What a skill adds to the frozen model: the bank, its file, and one file per kind of adapter."""
