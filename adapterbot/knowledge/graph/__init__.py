"""A knowledge graph: triples about what was named."""
