"""Passages to answer from: those that ship, the user's own texts, a Wikipedia dump."""
