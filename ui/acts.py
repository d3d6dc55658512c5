"""What the app does when a visitor clicks something that needs no model: conversations, versions, opinions."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr

from adapterbot.errors import AdapterbotError, InputError
from adapterbot.reply.care import region_of
from adapterbot.storage.markdown import markdown
from adapterbot.ui import words
from adapterbot.ui.file_routes import is_here
from adapterbot.ui.handlers import Handlers, kept_with
from adapterbot.ui.lists import own_html
from adapterbot.ui.markup import safe
from adapterbot.ui.screen import Screen
from adapterbot.ui.visitor import SHOWN, Visitor

OWNER = re.compile(r"[A-Za-z0-9_-]{16,100}")
WHILE_BUSY = {"own", "inspect", "search", "export-md", "export-json"}


class Acts:
    """A method per click, by the name that the button has as `data-do` (with '_' for '-')."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self.bot = handlers.bot
        self._orders = itertools.count(1)
        self._known = {
            "inspect": self.inspect,
            "older": self.older,
            "new": self.new,
            "open": self.open,
            "search": self.search,
            "rename": self.rename,
            "save": self.save,
            "delete": self.delete,
            "restore": self.restore,
            "export-md": self.export,
            "export-json": self.export,
            "choose": self.choose,
            "judge": self.judge,
            "take": self.take,
            "prefer": self.prefer,
            "apart": self.apart,
            "undo": self.undo,
            "edit": self.edit,
            "cancel": self.cancel,
            "own": self.own,
            "own-remove": self.own_remove,
        }

    def arrive(self, visitor: Visitor, kept: Any, request: gr.Request) -> Screen:
        """A page was opened: whose browser it is, which conversation was open, and the country of its language."""
        kept = kept if isinstance(kept, dict) else {}
        languages = request.headers.get("accept-language", "")
        visitor.region = region_of(languages.partition(",")[0].partition(";")[0])
        visitor.here = is_here(request.client.host if request.client else None)
        known = str(kept.get("id", ""))
        visitor.owner = known if OWNER.fullmatch(known) else secrets.token_urlsafe(18)
        try:
            self.bot.store.of(visitor.owner).title(str(kept.get("session", "")))
            visitor.session = str(kept["session"])
        except AdapterbotError:
            visitor.session = ""
        return self.handlers.show(visitor, kept=kept_with(kept, visitor), own=self._own(visitor))

    def act(self, event: gr.EventData, visitor: Visitor, kept: Any) -> Screen:
        """Do what was clicked; what cannot be done is said in one line, and the page is shown as it is."""
        given: Mapping[str, Any] = event._data if isinstance(event._data, dict) else {}
        do = str(given.get("do", ""))
        if do not in self._known:
            return Screen()
        if visitor.busy and do not in WHILE_BUSY:
            gr.Info(words.ANSWERING)
            return Screen()
        try:
            return self._known[do](visitor, kept, given)
        except (AdapterbotError, ValueError, KeyError) as error:
            gr.Warning(safe(str(error)))
            return self.handlers.show(visitor)

    # -- conversations -----------------------------------------------------------------------------------------------

    def new(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Begin another conversation; it is in the list once something was said."""
        visitor.leave()
        return self.handlers.show(visitor, kept=kept_with(kept, visitor), order=self._order("focus"))

    def open(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Go to another conversation."""
        self.bot.store.of(visitor.owner).title(str(given["id"]))
        visitor.leave(str(given["id"]))
        return self.handlers.show(visitor, kept=kept_with(kept, visitor), order=self._order("focus"))

    def search(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """List only those in which something was said."""
        visitor.search = str(given.get("text", ""))[:200]
        return Screen(visitor=visitor, chats=self.handlers.show(visitor).chats)

    def rename(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Write a title, of a conversation or of none."""
        visitor.renaming = str(given.get("id", ""))
        return self.handlers.show(visitor, now=gr.skip(), order=self._order("rename"))

    def save(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """The title was written."""
        visitor.renaming = ""
        self.bot.store.of(visitor.owner).rename(str(given["id"]), str(given.get("text", "")))
        return self.handlers.show(visitor)

    def delete(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Take a conversation out of the list; for an hour it can be brought back."""
        owned = self.bot.store.of(visitor.owner)
        id = str(given["id"])
        visitor.deleted = (id, owned.title(id))
        owned.delete(id)
        if visitor.session == id:
            visitor.leave()
        return self.handlers.show(visitor, kept=kept_with(kept, visitor))

    def restore(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Bring back what was deleted last."""
        id, visitor.deleted = visitor.deleted[0], ("", "")
        self.bot.store.of(visitor.owner).restore(id)
        visitor.leave(id)
        return self.handlers.show(visitor, kept=kept_with(kept, visitor))

    def export(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Give the browser a file: the conversation for people, or as JSON."""
        id = str(given["id"])
        title = self.bot.store.of(visitor.owner).title(id)
        name = re.sub(r"[^\w-]+", "-", title).strip("-")[:60] or "conversation"
        if given["do"] == "export-md":
            text = markdown(title, self.bot.store.exchanges(id))
            return Screen(order=self._order("download", name=f"{name}.md", text=text))
        return Screen(order=self._order("download", name=f"{name}.json", value=self.bot.store.export(id)))

    # -- turns -------------------------------------------------------------------------------------------------------

    def inspect(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Show what led to a reply."""
        visitor.look(int(given["turn"]), int(given.get("number", 0)))
        shown = self.handlers.show(visitor)
        return Screen(visitor=visitor, talk=gr.skip() if visitor.busy else shown.talk, evidence=shown.evidence)

    def older(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Show more of a long conversation."""
        visitor.shown += SHOWN
        return self.handlers.show(visitor)

    def choose(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Show another version of a turn."""
        visitor.look(int(given["turn"]))
        self.bot.store.choose(visitor.session, visitor.looked_at, int(given["number"]))
        return self.handlers.show(visitor)

    def judge(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """A reply was liked or disliked; the same click once more takes that back."""
        turn, opinion = int(given["turn"]), int(given["opinion"])
        now = next((each.opinion for each in self.handlers.exchanges(visitor) if each.position == turn), 0)
        self.bot.store.judge(visitor.session, turn, 0 if now == opinion else opinion)
        return self.handlers.show(visitor)

    def take(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Take another draft in the place of the reply: a version that was liked."""
        turn, number = int(given["turn"]), int(given["number"])
        versions = self.bot.store.versions(visitor.session, turn) if visitor.session else []
        told = next((each for each in versions if each.number == number), None)
        if told is None or not 0 <= int(given["draft"]) < len(told.reply.drafts):
            raise InputError(words.GONE)
        reply = replace(told.reply, text=told.reply.drafts[int(given["draft"])].text)
        self.bot.store.add_version(visitor.session, turn, told.message, reply, told.typed, opinion=1)
        visitor.look(turn)
        visitor.beside = (0, 0, 0)
        return self.handlers.show(visitor)

    def prefer(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Take one of two replies that stand side by side: it is what was said, and it was liked."""
        turn = int(given["turn"])
        self.bot.store.choose(visitor.session, turn, int(given["number"]))
        self.bot.store.judge(visitor.session, turn, 1)
        return self.apart(visitor, kept, given)

    def apart(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """End the comparison; both replies stay as versions."""
        visitor.beside = (0, 0, 0)
        visitor.look()
        return self.handlers.show(visitor)

    def undo(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Take the last exchange back; its message returns to the box."""
        last = self.handlers.exchanges(visitor, 1)
        self.bot.store.undo(visitor.session)
        visitor.look()
        visitor.beside = (0, 0, 0)
        return self.handlers.show(visitor, box=last[-1].typed if last else gr.skip(), order=self._order("focus"))

    def edit(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Put the last message into the box; what is sent replaces it."""
        last = self.handlers.exchanges(visitor, 1)
        visitor.editing = bool(last)
        return self.handlers.show(visitor, box=last[-1].typed if last else gr.skip(), order=self._order("focus"))

    def cancel(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Leave the last message as it is."""
        visitor.editing = False
        return self.handlers.show(visitor, box="")

    # -- files -------------------------------------------------------------------------------------------------------

    def own(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """List the user's own files: one was added."""
        return Screen(own=self._own(visitor))

    def own_remove(self, visitor: Visitor, kept: Any, given: Mapping[str, Any]) -> Screen:
        """Take a file away again."""
        if visitor.here:
            gr.Info(
                safe(f"{given['name']}: {self.handlers.files.remove(str(given['name']), str(given.get('file', '')))}")
            )
        return self.own(visitor, kept, given)

    def _own(self, visitor: Visitor) -> str:
        return own_html(self.handlers.files.own(), here=visitor.here)

    def _order(self, do: str, **what: Any) -> dict[str, Any]:
        """Something for the page's script to do, once; the number tells two equal ones apart."""
        return {"do": do, "number": next(self._orders), **what}
