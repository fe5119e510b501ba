"""Code mode: counting, filtering and comparing by the fields of what tools return."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from punie.evaluation.facts import stated, states_all
from punie.evaluation.suite import Check, Item, Say, Verdict
from punie.evaluation.suites.judging import OnlyThese, done, ended_well, left, own, why_not
from punie.evaluation.suites.listed import ListedSuite
from punie.evaluation.suites.project import write_parcels
from punie.evaluation.suites.seeing import told
from punie.evaluation.suites.steps import NEEDS
from punie.evaluation.suites.written import Change, Facts, WrittenItem, written_items
from punie.evaluation.work import Executed, Work
from punie.training.data.example import Function

_RUN_CODE = "run_code"


class FieldAccess(WrittenItem):
    """An item; see the file of data."""

    uses: tuple[str | tuple[str, ...], ...]
    fields: tuple[str, ...]
    says: Facts
    unsaid: tuple[str, ...] = ()
    change: Change = Change()
    code: str
    answer: str

    @property
    def call(self) -> Function:
        """The call that is one right way."""
        return Function(name=_RUN_CODE, arguments={"code": self.code})


@dataclass(frozen=True)
class ByFields:
    """Judges what code worked out.

    `code`: the first code ran to its end, and there was no other; softly, some did.
    `fields`: the code that ran to its end called the functions and looks at the fields; softly, it
    called the functions.
    `solved`: the functions were called, the code printed what was asked for and does not hold it
    all itself, the files are as they should be, and the answer states it; softly, the model may
    have read it off the code's output.
    """

    uses: Sequence[str | Sequence[str]]
    fields: Sequence[str]
    says: Facts
    unsaid: Sequence[str]
    files: dict[str, str]

    async def __call__(self, work: Work, root: Path) -> Verdict:
        """Judge."""
        codes = [each for each in own(work.executed) if each.call.name == _RUN_CODE]
        good = [each for each in codes if each.ran and not each.failed]
        called = {each.call.name for each in done(work) if each.inner}
        used = bool(good) and all(
            bool(called & ({one} if isinstance(one, str) else set(one))) for one in self.uses
        )
        looked = set(self.fields) <= _subscripts(good)
        printed = states_all("\n".join(each.result for each in good), self.says).strict
        # A number may stand in honest code too, as what is counted from.
        held = all(any(stated(told(each), fact).strict for each in good) for fact in self.says)
        worked_out = not self.says or (printed and not held)
        state = left(work, self.files)
        states = states_all(work.answer, self.says, self.unsaid)
        code = Check(strict=len(codes) == len(good) == 1, soft=bool(good))
        fields = Check(strict=used and looked, soft=used)
        solved = Check(
            strict=used and worked_out and state.strict and states.strict and ended_well(work),
            soft=used and state.soft and states.soft,
        )
        return Verdict(
            checks={"code": code, "fields": fields, "solved": solved},
            due={"uses": list(self.uses), "fields": list(self.fields), "says": list(self.says)},
            note=why_not(
                solved.strict,
                (bool(codes), "No code was run."),
                (bool(good), "No code ran to its end."),
                (used, "The code did not call what it had to."),
                (state.strict, "The files are not as they should be."),
                (states.strict, "The answer does not state what was asked for."),
                (worked_out, "The code did not work it out."),
                (False, "It did not come to an answer."),
            ),
        )


def _subscripts(codes: Sequence[Executed]) -> set[str]:
    """Return all texts that code takes something by, as in `x["rule"]` or `x.get("rule")`."""
    found: set[str] = set()
    for each in codes:
        code = each.call.arguments.get("code")
        try:
            tree = ast.parse(code if isinstance(code, str) else "")
        except (SyntaxError, ValueError, RecursionError):
            continue  # Code in a fence runs as well; what it looks at is not known.
        for node in ast.walk(tree):
            match node:
                case ast.Subscript(slice=ast.Constant(value=str(name))):
                    found.add(name)
                case ast.Call(
                    func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]
                ):
                    found.add(name)
                case ast.Call(
                    func=ast.Name(id="itemgetter") | ast.Attribute(attr="itemgetter"),
                    args=[*names],
                ):
                    constants = (each.value for each in names if isinstance(each, ast.Constant))
                    found |= {value for value in constants if isinstance(value, str)}
                case _:
                    pass
    return found


def field_access_items() -> list[FieldAccess]:
    """Return what is written down."""
    return written_items("field_access", FieldAccess)


def _items() -> Sequence[Item]:
    return tuple(map(_item, field_access_items()))


def _item(written: FieldAccess) -> Item:
    return Item(
        name=written.name,
        kind=written.kind,
        actions=(Say(written.prompt),),
        prepare=partial(write_parcels, files=written.project),
        judge=ByFields(
            uses=written.uses,
            fields=written.fields,
            says=written.says,
            unsaid=written.unsaid,
            files=written.change.of(written.project),
        ),
        unconfined=_TestsAndReport(),
        code=True,
        needs=NEEDS,
    )


@dataclass(frozen=True)
class _TestsAndReport:
    """Allows what runs nothing but the project's own tests and report."""

    def __call__(self, call: Function) -> bool:
        """Tell whether the person allows this call once."""
        report = {"command": "python3 -m scripts.report --month 9"}
        return call.name == "run_tests" or OnlyThese(
            (Function(name="run_command", arguments=report),)
        )(call)


FIELD_ACCESS = ListedSuite(
    name="field-access",
    version=2,
    about="Whether code works out what is asked for from the fields of what tools return.",
    items=_items,
)
