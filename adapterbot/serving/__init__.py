"""The bot over HTTP: OpenAI's API for the clients that people have, and one of its own with the whole Reply.

`http.api` puts it together: a gate that every request passes (`gate`), keys and limits (`keys`), and routes that ask
the bot by `Bot.arespond` and `Bot.astream` alone, behind which what batches the turns of many people can stand.
"""
