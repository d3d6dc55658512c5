"""Forward passes, one file per family."""
