"""A few sentences about the bot itself."""
