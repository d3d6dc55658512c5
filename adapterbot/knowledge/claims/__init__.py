"""Claims with their verdicts and evidence."""
