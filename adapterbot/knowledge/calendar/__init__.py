"""The user's calendar, read and never written."""
