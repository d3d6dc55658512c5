"""The bot in a program: a reply, what led to it, and the next reply in pieces.

python examples/script.py "My best friend moved away."
"""

from __future__ import annotations

import sys

from adapterbot import Bot


def main(message: str) -> None:
    """Answer `message`, then one more."""
    bot = Bot.load()
    reply = bot.respond(message)
    print(f"{reply.skill} ({reply.reason}): {reply.text}")
    for fact in reply.facts:
        print(f"  from: {fact.line}")
    for piece in bot.stream("What would you do?", reply.history):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "My best friend moved away.")
