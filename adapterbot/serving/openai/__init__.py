"""OpenAI's HTTP API, as far as a bot of skills can honour it; what it cannot is refused, never ignored in silence.

`model` is `adapterbot`, for the manager's choice, or `adapterbot/<skill>`. Which skill answered, why and from which
facts stands in the extra member `adapterbot` of every answer.
"""
