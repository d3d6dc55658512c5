"""A live forecast, or a sample of one."""
