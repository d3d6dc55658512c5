"""How the manager's parts are trained and judged."""
