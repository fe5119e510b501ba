"""What is known of a graph's steps before they run: what is there, time, memory, disk, tokens."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from punie.models.catalog import ModelUnavailable, read_json_object
from punie.training.data.dataset import Dataset, open_dataset
from punie.training.errors import TrainingError
from punie.training.pipeline.content import shape_hash
from punie.training.pipeline.graph import FromFolder, FromStep, Graph, Node, Source, learner
from punie.training.pipeline.runner import input_hashes, node_key
from punie.training.pipeline.step import Given, Need
from punie.training.pipeline.store import Record, Store

_COUNTED = 400
"""Examples whose tokens are counted; of a larger dataset as many, evenly spread."""
_LIKE_BEFORE = 5
"""Earlier steps of a kind by which the time is told, the last ones."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a dataset for a model; `counted` examples of `examples` were looked at."""

    examples: int
    counted: int
    tokens: int
    learned: int
    longest: int

    def __str__(self) -> str:
        about = "" if self.counted == self.examples else "about "
        return (
            f"{self.examples:,} examples, {about}{self.tokens:,} tokens of which "
            f"{about}{self.learned:,} are learned, the longest of {self.counted:,} has "
            f"{self.longest:,}"
        )


@dataclass(frozen=True)
class Foreseen:
    """What is known of one step.

    Attributes:
        key: of the store, if all inputs are there.
        record: of the step, if it is done already.
        seconds: that it may take; None if nothing is known.
        like: by how many earlier steps that is told.
        need: memory and disk.
        tokens: of its dataset, if that and a model are there.
    """

    node: Node
    key: str | None
    record: Record | None
    seconds: float | None
    like: int
    need: Need
    tokens: Tokens | None


@dataclass
class Foresight:
    """Looks at steps one after the other; a dataset is counted once for each model."""

    store: Store
    count_tokens: bool = True
    found: dict[str, Foreseen] = field(default_factory=dict)
    _configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _tokens: dict[tuple[Path, Path], Tokens | None] = field(default_factory=dict)
    _earlier: list[Record] | None = None

    def look(self, graph: Graph) -> dict[str, Foreseen]:
        """Return what is known of each step, in order.

        Raises:
            TrainingError: an input that is named is not what it is taken for.
        """
        for name, node in graph.nodes.items():
            self.found[name] = self._of(node)
        return self.found

    def path(self, source: Source) -> Path | None:
        """Return where an input lies, None for what is not there or lies on a server."""
        if isinstance(source, FromFolder):
            return source.path
        made = self.found[source.name]
        if made.record is None or made.key is None:
            return None
        return self.store.output(made.key, made.record.artifact)

    def _of(self, node: Node) -> Foreseen:
        done = {name: one.record for name, one in self.found.items() if one.record is not None}
        hashes = input_hashes(node, self.store, done)
        key = None if hashes is None else node_key(node, hashes)
        record = None if key is None else self.store.record(key)
        tokens = None if node.makes == "report" else self._tokens_of(node)
        given = self._given(node, tokens)
        config = node.step.config(node.options, given)
        if config is not None:
            self._configs[node.name] = config
        seconds, like = (0.0, 0) if record is not None else self._seconds(node, given)
        need = Need() if record is not None else node.step.need(node.options, given)
        return Foreseen(node, key, record, seconds, like, need, tokens)

    def _given(self, node: Node, tokens: Tokens | None) -> Given:
        paths: dict[str, Path] = {}
        configs: dict[str, dict[str, Any]] = {}
        for role, (source, *_) in node.inputs.items():
            path = self.path(source)
            if path is not None:
                paths[role] = path
            if node.step.roles[role].artifact != "model":
                continue
            if path is not None:
                configs[role] = _config(path)
            elif isinstance(source, FromStep) and source.name in self._configs:
                configs[role] = self._configs[source.name]
        return Given(paths, configs, None if tokens is None else tokens.longest)

    def _seconds(self, node: Node, given: Given) -> tuple[float | None, int]:
        """Return what a step may take, by earlier ones of the kind on models of the same shape."""
        if self._earlier is None:
            self._earlier = sorted((one for _, one in self.store.records()), key=lambda r: r.ended)
        like = _like(node, given)
        known = [
            one
            for one in self._earlier
            if one.kind == node.step.kind and one.seconds is not None and one.like == like
        ][-_LIKE_BEFORE:]
        if not known:
            return None, 0
        work = node.step.work(node.options)
        if work is None or not all(one.work for one in known):
            return fmean(one.seconds or 0.0 for one in known), len(known)
        rates = [(one.seconds or 0.0) / (one.work or 1.0) for one in known]
        return work * fmean(rates), len(known)

    def _tokens_of(self, node: Node) -> Tokens | None:
        dataset = node.inputs.get("dataset")
        model = learner(node)
        if not self.count_tokens or not dataset or not model:
            return None
        at, of = self.path(dataset[0]), self._tokenizer(model[0])
        if at is None or of is None:
            return None
        if (at, of) not in self._tokens:
            self._tokens[at, of] = count_tokens(open_dataset(at), of)
        return self._tokens[at, of]

    def _tokenizer(self, source: Source) -> Path | None:
        """Return a model's folder, or that of the model whose tokens it will have."""
        path = self.path(source)
        while path is None and isinstance(source, FromStep):
            inputs = self.found[source.name].node.inputs
            before = inputs.get("model") or inputs.get("student") or inputs.get("tokenizer")
            if not before:
                return None
            source = before[0]
            path = self.path(source)
        return path


def count_tokens(dataset: Dataset, model: Path) -> Tokens | None:
    """Count a dataset's tokens as the model reads them; None if its template cannot render them.

    Raises:
        TrainingError: a line of the dataset is no example.
    """
    from punie.models.mlx.chat.renderer import TemplateError
    from punie.models.mlx.chat_format import ChatFormat
    from punie.training.data.sequences import training_sequences

    part = (
        "train" if "train" in dataset.manifest.parts else next(iter(dataset.manifest.parts), None)
    )
    if part is None:
        return None
    examples = dataset.manifest.parts[part].examples
    step = max(1, math.ceil(examples / _COUNTED))
    counted = tokens = learned = longest = 0
    try:
        chat_format = ChatFormat.read(model)
        for number, example in enumerate(dataset.examples(part)):
            if number % step:
                continue
            counted += 1
            for sequence in training_sequences(chat_format, example, dataset.prefix(example)):
                tokens += len(sequence.ids)
                learned += sum(sequence.learned)
                longest = max(longest, len(sequence.ids))
    except (ModelUnavailable, TemplateError):
        return None
    scale = examples / counted if counted else 0.0
    return Tokens(examples, counted, round(tokens * scale), round(learned * scale), longest)


def shape_lines(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Write a model's tensors for a person: one line for all layers of the same shape."""
    counted = Counter((re.sub(r"\b\d+\b", "*", name), shape) for name, shape in shapes.items())
    lines = []
    for (name, shape), count in counted.items():
        times = f"{count} x " if count > 1 else ""
        lines.append(f"{times}{name} {' x '.join(map(str, shape))}")
    return lines


def _like(node: Node, given: Given) -> str | None:
    """Return the shape of the first model that a step works on; None if it is not known yet."""
    for role, about in node.step.roles.items():
        if about.artifact == "model" and node.inputs.get(role):
            source = node.inputs[role][0]
            if isinstance(source, FromFolder) and source.path is None:
                return ""
            config = given.configs.get(role)
            return None if config is None else shape_hash(config)
    return ""


def _config(model: Path) -> dict[str, Any]:
    try:
        return read_json_object(model / "config.json")
    except ModelUnavailable as error:
        raise TrainingError(str(error)) from None
