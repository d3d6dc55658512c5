"""The page: which components there are, how they look, and which handler each event calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from adapterbot.turn import DECODE_SETTINGS, Decode
from adapterbot.ui import words
from adapterbot.ui.acts import Acts
from adapterbot.ui.evidence import evidence_html
from adapterbot.ui.files import ENDINGS
from adapterbot.ui.handlers import Handlers
from adapterbot.ui.lists import list_html, picker_html
from adapterbot.ui.markup import button
from adapterbot.ui.overview import empty_html
from adapterbot.ui.screen import Screen
from adapterbot.ui.visitor import LONGEST_CITY, SLIDERS, UNITS, Visitor

MOST_KEPT = 20_000  # characters of a persona that the browser keeps
WIDEST = 1000  # a range wider than this is typed, not slid
SCRIPT = Path(__file__).parent / "script.js"
# What a component of the page runs when it is there; the functions are those of script.js.
HEARS = "abHear(element, data => trigger('act', data), data => trigger('ask', data));"
OFFERS = f"{HEARS} abFiles(element, data => trigger('act', data));"
ORDERS = "watch('value', () => abObey(props.value));"
PICKS = """element.querySelector('select').addEventListener('change', event => {
  props.value = event.target.value;
  trigger('input');
});"""


# Where a file that was chosen or dropped is offered to be added; the page's script fills it.
OFFER = f"""<input type="file" accept="{",".join(ENDINGS)}" aria-label="{words.ADD_FILE}" tabindex="-1" hidden>
<form class="ab-offer" hidden><p role="status"></p><select aria-label="{words.BECOMES}"></select>
<progress aria-label="{words.PROGRESS}" hidden></progress><div>
<button type="submit" class="ab-button ab-prefer">{words.ADD}</button>
<button type="button" class="ab-button" data-close>{words.CLOSE}</button></div></form>"""


class Talk(NamedTuple):
    """The column in the middle."""

    talk: gr.HTML
    now: gr.HTML
    editing: gr.HTML
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button
    offer: gr.HTML


class Side(NamedTuple):
    """The column on the right."""

    evidence: gr.HTML
    persona: gr.Textbox
    city: gr.Textbox
    units: gr.Radio
    files: gr.HTML
    own: gr.Checkbox
    seed: gr.Textbox
    sliders: list[gr.Slider | gr.Number]


class Chats(NamedTuple):
    """The column on the left."""

    bar: gr.HTML
    deleted: gr.HTML
    chats: gr.HTML


def build(handlers: Handlers) -> gr.Blocks:
    """The page over a bot. What was said lies in the store; where a tab stands in it, in the tab's one `gr.State`."""
    bot = handlers.bot
    page = gr.Blocks(title=words.NAME, analytics_enabled=False, fill_width=True)
    with page:
        visitor = gr.State(Visitor())
        # The secret hides nothing: the browser's owner may read what the browser keeps. It has to outlive a restart.
        kept = gr.BrowserState({}, storage_key="adapterbot", secret="adapterbot")
        mine = gr.BrowserState({}, storage_key="adapterbot-mine", secret="adapterbot")
        order = gr.HTML({}, html_template="", js_on_load=ORDERS, elem_id="ab-order")
        with gr.Row(elem_id="ab-columns"):
            with gr.Column(elem_id="ab-list"):
                chats = _chats()
            with gr.Column(elem_id="ab-talk"):
                with gr.Row(elem_id="ab-top"):
                    _hearing(_top(), "ab-title")
                    skill = gr.HTML(
                        "", html_template=picker_html(bot.specs, bot.skills), js_on_load=PICKS, elem_id="ab-picker"
                    )
                talk = _talk(empty_html(handlers.overview()))
            with gr.Column(elem_id="ab-side"):
                side = _side(evidence_html(None, bot.specs), handlers.personal.persona)
        screen = Screen(
            visitor, kept, chats.chats, chats.deleted, talk.talk, talk.now, side.evidence, talk.box, talk.editing,
            talk.send, talk.stop, side.files, order,
        )  # fmt: skip
        _wire(handlers, screen, skill, talk, side, chats, page)
        _remember(side, mine, page)
    page.queue(default_concurrency_limit=None, api_open=False)
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
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_text_size="16px",
        color_accent="*primary_700",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
    )


def _hearing(html: str, name: str, **options: Any) -> gr.HTML:
    """HTML whose buttons the handlers hear."""
    return gr.HTML(html, js_on_load=HEARS, elem_id=name, apply_default_css=False, **options)


def _top() -> str:
    lists = button("panel", words.CHATS, "menu", kind="ab-phone", panel="list")
    side = button("panel", words.EVIDENCE, "panel", kind="ab-phone", panel="side")
    return f"{lists}<h1>{words.NAME}</h1>{button('theme', words.THEME, 'theme')}{side}"


def _chats() -> Chats:
    new = button("new", words.NEW, "plus", text=words.NEW, kind="ab-new")
    close = button("panel", words.CLOSE, "close", kind="ab-phone", panel="")
    search = f'<input class="ab-search" type="search" placeholder="{words.SEARCH}" aria-label="{words.SEARCH}">'
    head = f'<div class="ab-head"><h2>{words.CHATS}</h2>{close}</div>'
    bar = _hearing(f"{head}{new}{search}", "ab-bar")
    deleted = _hearing("", "ab-deleted")
    return Chats(bar, deleted, _hearing(list_html([], current=""), "ab-chats"))


def _talk(begin: str) -> Talk:
    with gr.Column(elem_id="ab-scroll"):
        talk = _hearing(begin, "ab-said")
        now = gr.HTML("", js_on_load=None, elem_id="ab-now", apply_default_css=False)
    cancel = f"<span>{words.EDITING}</span>{button('cancel', words.CANCEL, text=words.CANCEL)}"
    editing = _hearing(cancel, "ab-editing", visible=False)
    offer = gr.HTML(OFFER, js_on_load=OFFERS, elem_id="ab-offer", apply_default_css=False)
    with gr.Row(elem_id="ab-say"):
        _hearing(button("attach", words.ADD_FILE, "attach"), "ab-attach")
        box = gr.Textbox(
            label=words.BOX,
            show_label=False,
            placeholder=words.BOX,
            max_lines=8,
            container=False,
            scale=1,
            autofocus=True,
            elem_id="ab-box",
        )
        # A click before the page has arrived would be lost.
        send = gr.Button(words.SEND, variant="primary", interactive=False, scale=0, min_width=88, elem_id="ab-send")
        stop = gr.Button(words.STOP, variant="stop", scale=0, min_width=88, visible=False, elem_id="ab-stop")
    return Talk(talk, now, editing, box, send, stop, offer)


def _side(evidence: str, persona: str) -> Side:
    _hearing(
        f'<div class="ab-head">{button("panel", words.CLOSE, "close", kind="ab-phone", panel="")}</div>', "ab-close"
    )
    with gr.Tabs(elem_id="ab-tabs"):
        with gr.Tab(words.EVIDENCE, id="evidence"):
            shown = _hearing(evidence, "ab-evidence")
        with gr.Tab(words.PERSONAL, id="personal"):
            editor = gr.Textbox(
                persona,
                label=words.PERSONA_LABEL,
                info=words.PERSONA_INFO,
                lines=8,
                max_lines=16,
                elem_id="ab-persona",
            )
            city = gr.Textbox(label=words.CITY, info=words.CITY_INFO, max_lines=1, elem_id="ab-city")
            units = gr.Radio(list(words.UNIT_CHOICES), value="", label=words.UNITS, elem_id="ab-units")
        with gr.Tab(words.FILES, id="files"):
            files = _hearing("", "ab-files")
        with gr.Tab(words.SETTINGS, id="settings", elem_id="ab-settings"):
            own = gr.Checkbox(True, label=words.OWN_SETTINGS, elem_id="ab-own")
            sliders = [_slider(name) for name in SLIDERS]
            meaning = DECODE_SETTINGS["seed"][3]
            seed = gr.Textbox("", label="seed", info=meaning, placeholder=words.NEW_SEED, elem_id="ab-seed")
    return Side(shown, editor, city, units, files, own, seed, sliders)


def _slider(name: str) -> gr.Slider | gr.Number:
    """A slider over the setting's range, or a number box where that is too wide; `info` says what it does."""
    kind, low, high, meaning = DECODE_SETTINGS[name]
    value = getattr(Decode(), name)
    whole = kind is int
    if high > WIDEST:
        return gr.Number(value, minimum=low, maximum=high, precision=0, label=name, info=meaning, interactive=False)
    step = 1 if whole else 0.01
    return gr.Slider(low, high, value, step=step, label=name, info=meaning, interactive=False, buttons=[])


def _wire(
    handlers: Handlers, screen: Screen, skill: gr.HTML, talk: Talk, side: Side, chats: Chats, page: gr.Blocks
) -> None:
    acts = Acts(handlers)
    visitor, kept = screen.visitor, screen.kept
    outputs = list(screen)
    inputs = [skill, side.persona, side.city, side.units, side.own, side.seed, *side.sliders]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(acts.arrive, [visitor, kept], outputs, **quiet)
    turns = [
        gr.on([talk.box.submit, talk.send.click], handlers.send, [visitor, kept, talk.box, *inputs], outputs, **quiet),
        *(each.ask(handlers.ask, [visitor, kept, *inputs], outputs, **quiet) for each in (talk.talk, talk.offer)),
    ]
    for turn in turns:
        turn.then(handlers.idle, visitor, outputs, **quiet)
    heard = (chats.bar, chats.deleted, chats.chats, talk.talk, talk.editing, talk.offer, side.evidence, side.files)
    for each in heard:
        each.act(acts.act, [visitor, kept], outputs, trigger_mode="multiple", **quiet)
    talk.stop.click(handlers.stop, visitor, queue=False, **quiet)
    latest: dict[str, Any] = {"trigger_mode": "always_last", **quiet}
    gr.on([skill.input, side.own.input], handlers.show_settings, [skill, side.own], side.sliders, **latest)


def _remember(side: Side, mine: gr.BrowserState, page: gr.Blocks) -> None:
    """Persona, city and units stay in the browser, and come back with it."""
    parts = [side.persona, side.city, side.units]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    page.load(remembered, mine, parts, **quiet)
    changed = [side.persona.input, side.city.input, side.units.input]
    gr.on(changed, remember, parts, mine, trigger_mode="always_last", **quiet)


def remember(persona: str, city: str, units: str) -> dict[str, str]:
    """What the browser keeps of what its user told."""
    return {"persona": persona[:MOST_KEPT], "city": city[:LONGEST_CITY], "units": units}


def remembered(mine: Any) -> list[Any]:
    """What the browser kept, for the persona editor, the city and the units; what is not sound stays as it is."""
    kept = mine if isinstance(mine, dict) else {}
    texts = [kept.get(name) for name in ("persona", "city")]
    units = kept.get("units")
    return [*(text if isinstance(text, str) else gr.skip() for text in texts), units if units in UNITS else ""]
