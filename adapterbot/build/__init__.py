"""`adapterbot build`: every model again, by one recipe."""
