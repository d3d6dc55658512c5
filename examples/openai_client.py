"""OpenAI's Python client at `adapterbot serve`: the models, a stream, and which skill answered.

adapterbot serve
python examples/openai_client.py http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import os
import sys

from openai import OpenAI


def main(base_url: str) -> None:
    """List the skills and ask one of them."""
    with OpenAI(base_url=base_url, api_key=os.environ.get("ADAPTERBOT_KEY", "none")) as client:
        print(", ".join(model.id for model in client.models.list()))
        stream = client.chat.completions.create(
            model="adapterbot",
            messages=[{"role": "user", "content": "I passed my exam today!"}],
            max_tokens=40,
            stream=True,
        )
        skill = ""
        for chunk in stream:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
            skill = (chunk.model_extra or {}).get("adapterbot", {}).get("skill", skill)
        print(f"\n(answered by {skill})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1")
