"""In-Car assistant / KVRET (Eric et al. 2017): weather, navigation and calendar over the rows of a table.

On the hub it lies in archives that `datasets` does not read, so it is taken from a corpora folder alone.
"""

FOLDER = "kvret"
HUB = None
LICENCE = "not stated"
