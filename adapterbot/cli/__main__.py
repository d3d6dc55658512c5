"""`python -m adapterbot.cli`, for instance under `accelerate launch`."""

from adapterbot.cli import main

main()
