"""From prompts to sampled drafts: tokens, no English."""
