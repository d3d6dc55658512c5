"""From facts and history to the prompt, and from drafts to the reply."""
