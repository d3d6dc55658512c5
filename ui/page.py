"""The page: which components there are, how they look, and which handler each event calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr

from adapterbot.turn import DECODE_SETTINGS, Decode
from adapterbot.ui import view
from adapterbot.ui.handlers import SLIDERS, Handlers, Visitor

if TYPE_CHECKING:
    from adapterbot.bot import Bot

AT_ONCE = 4  # replies generated at the same time; further visitors wait in the queue
WIDEST = 1000  # a range wider than this is typed, not slid
ABOUT = "One frozen dialogue model, a small adapter per skill, and a manager that picks the skill for every turn."


class Talk(NamedTuple):
    """The left column."""

    chat: gr.Chatbot
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    undo: gr.Button
    clear: gr.Button


class Side(NamedTuple):
    """The right column."""

    inspector: gr.HTML
    persona: gr.Textbox
    own: gr.Checkbox
    seed: gr.Textbox
    sliders: list[gr.Slider | gr.Number]


def build(bot: Bot) -> gr.Blocks:
    """The page over `bot`. Nothing about a visitor is kept outside of that visitor's one `gr.State`."""
    handlers = Handlers(bot)
    choices = view.skill_choices(bot.specs, bot.skills)
    page = gr.Blocks(title="adapterbot", analytics_enabled=False, fill_width=True)
    with page:
        visitor = gr.State(Visitor())
        with gr.Row(elem_id="ab-top"):
            gr.HTML(f"<h1>adapterbot</h1><p>{ABOUT}</p>", js_on_load=None, elem_id="ab-title")
            skill = gr.Dropdown(choices, value=view.AUTO, label="Who answers", elem_id="ab-picker")
        with gr.Row(elem_id="ab-columns"):
            with gr.Column(scale=3, min_width=320, elem_id="ab-talk"):
                talk = _talk(view.examples(bot.specs, bot.skills))
            with gr.Column(scale=2, min_width=320, elem_id="ab-side"):
                side = _side(view.inspector_html(None, bot.specs), handlers.persona)
        _wire(handlers, visitor, skill, talk, side)
        page.load(handlers.arrive, visitor, visitor, show_progress="hidden", api_visibility="private")
    page.queue(default_concurrency_limit=AT_ONCE, api_open=False)
    return page


def theme() -> gr.themes.Base:
    """Calm colours with enough contrast, and a font that gradio serves itself."""
    plain = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=[gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return plain.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        color_accent="*primary_700",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
    )


def _talk(examples: list[str]) -> Talk:
    # Bubbles hold escaped text (view.messages): no Markdown, and what is left of HTML is sanitised once more.
    inert: dict[str, Any] = {"render_markdown": False, "sanitize_html": True, "allow_tags": False}
    chat = gr.Chatbot(
        label="Conversation",
        show_label=False,
        elem_id="ab-chat",
        height=None,
        buttons=[],
        feedback_options=None,
        latex_delimiters=[],
        placeholder="Say something, or start with one of these:",
        examples=[{"text": text} for text in examples],
        **inert,
    )
    with gr.Row(elem_id="ab-say"):
        box = gr.Textbox(
            label="Your message",
            show_label=False,
            placeholder="Your message",
            max_lines=6,
            container=False,
            scale=1,
            autofocus=True,
            elem_id="ab-box",
        )
        send = gr.Button("Send", variant="primary", scale=0, min_width=88, elem_id="ab-send")
        stop = gr.Button("Stop", variant="stop", scale=0, min_width=88, visible=False, elem_id="ab-stop")
    with gr.Row(elem_id="ab-change"):
        retry, undo, clear = (_small(name) for name in ("Retry", "Undo", "Clear"))
    return Talk(chat, box, send, stop, retry, undo, clear)


def _small(name: str) -> gr.Button:
    return gr.Button(name, size="sm", interactive=False, scale=0, min_width=88, elem_id=f"ab-{name.lower()}")


def _side(inspector: str, persona: str) -> Side:
    with gr.Tabs():
        with gr.Tab("This reply"):
            shown = gr.HTML(inspector, js_on_load=None, elem_id="ab-inspector")
        with gr.Tab("Persona"):
            editor = gr.Textbox(
                persona,
                label="Who the bot is",
                info="One fact a line. The persona skill speaks from them; no other skill sees them.",
                lines=8,
                max_lines=16,
                elem_id="ab-persona",
            )
        with gr.Tab("Settings", elem_id="ab-settings"):
            own = gr.Checkbox(True, label="Use the skill's own settings", elem_id="ab-own")
            sliders = [_slider(name) for name in SLIDERS]
            meaning = DECODE_SETTINGS["seed"][3]
            seed = gr.Textbox("", label="seed", info=meaning, placeholder="a new one every time", elem_id="ab-seed")
    return Side(shown, editor, own, seed, sliders)


def _slider(name: str) -> gr.Slider | gr.Number:
    """A slider over the setting's range, or a number box where that is too wide; `info` says what it does."""
    kind, low, high, meaning = DECODE_SETTINGS[name]
    value = getattr(Decode(), name)
    whole = kind is int
    if high > WIDEST:
        return gr.Number(value, minimum=low, maximum=high, precision=0, label=name, info=meaning, interactive=False)
    step = 1 if whole else 0.01
    return gr.Slider(low, high, value, step=step, label=name, info=meaning, interactive=False, buttons=[])


def _wire(handlers: Handlers, visitor: gr.State, skill: gr.Dropdown, talk: Talk, side: Side) -> None:
    chat, box, send, stop, *change = talk
    screen = [visitor, chat, box, side.inspector, send, stop, *change]  # in the order of handlers.Screen
    inputs = [skill, side.persona, side.own, side.seed, *side.sliders]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    turns = [
        gr.on([box.submit, send.click], handlers.send, [visitor, box, *inputs], screen, **quiet),
        chat.example_select(handlers.example, [visitor, *inputs], screen, **quiet),
        talk.retry.click(handlers.retry, [visitor, *inputs], screen, **quiet),
    ]
    for turn in turns:
        turn.then(handlers.idle, visitor, screen, **quiet)
    talk.undo.click(handlers.undo, visitor, screen, **quiet)
    gr.on([talk.clear.click, chat.clear], handlers.clear, visitor, screen, **quiet)
    stop.click(handlers.stop, visitor, queue=False, **quiet)
    chat.select(handlers.inspect, visitor, side.inspector, **quiet)
    latest: dict[str, Any] = {"trigger_mode": "always_last", **quiet}
    gr.on([skill.input, side.own.input], handlers.show_settings, [skill, side.own], side.sliders, **latest)
