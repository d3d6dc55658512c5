"""A bot in a chat with many channels, as on Discord: each channel is a session, and channels don't wait for each other.

Here a line `channel: text` on standard input stands for a message; with a chat's own library, call `answer` in its
`on_message` and send what it returns.

    printf 'music: Hello!\ngames: Hi, do you like chess?\n' | python examples/channels.py
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable

from adapterbot import Bot


async def answer(bot: Bot, channel: str, text: str) -> str:
    """The reply to a message in a channel, remembered there."""
    session = bot.session("channel-" + re.sub(r"[^A-Za-z0-9._-]", "-", channel)[:80])
    return (await session.arespond(text)).text


async def main(lines: Iterable[str]) -> None:
    """Answer all messages, those of a channel in their order."""
    bot = Bot.load()
    channels: dict[str, list[str]] = {}
    for line in lines:
        channel, _, text = line.partition(":")
        if text.strip():
            channels.setdefault(channel.strip(), []).append(text.strip())

    async def serve(channel: str, texts: list[str]) -> None:
        for text in texts:
            print(f"{channel}: {await answer(bot, channel, text)}", flush=True)

    await asyncio.gather(*(serve(channel, texts) for channel, texts in channels.items()))


if __name__ == "__main__":
    asyncio.run(main(sys.stdin))
