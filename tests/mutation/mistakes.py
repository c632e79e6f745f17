"""Makes mistakes in a module, one at a time: wrong comparisons, numbers, names, and what is left out."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
#: Texts with spaces are for people; nobody tests each of their words.
_LONGEST_NAME = 40
_LONGEST_LINE = 70
_LOGGING = ("debug", "info", "warning", "error", "exception")


@dataclass(frozen=True)
class Mistake:
    """
    A mistake in a module.

    :param module: Its path below the package.
    :param where: The function or class that it is in.
    :param what: The code before and after, as one line.
    :param number: Which of several that read the same, from 1.
    :param source: The module's source with the mistake.
    """

    module: str
    where: str
    what: str
    number: int
    source: str

    @property
    def key(self) -> str:
        """What it is known by, whatever line it is on."""
        again = f" ({self.number})" if self.number > 1 else ""
        return f"{self.module} {self.where}: {self.what}{again}"


def mistakes_in(module: str, source: str) -> Iterator[Mistake]:
    """
    Yield all mistakes of a module.

    :param module: Its path below the package.
    :param source: Its source.
    """
    tree = ast.parse(source)
    seen: Counter[tuple[str, str]] = Counter()
    for node, parent, field, index, where in list(_places(tree, "")):
        for wrong in _wrong(node, parent):
            _put(parent, field, index, wrong)
            what = _difference(node, wrong)
            changed = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
            _put(parent, field, index, node)
            seen[where, what] += 1
            yield Mistake(module, where, what, seen[where, what], changed)


def _difference(node: ast.AST, wrong: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While) and isinstance(wrong, ast.If | ast.While):
        return f"if {_short(node.test)} -> if {_short(wrong.test)}"
    if isinstance(node, ast.Call) and isinstance(wrong, ast.Call):
        (left_out,) = {one.arg for one in node.keywords} - {one.arg for one in wrong.keywords}
        return f"{_short(node.func)}(...) without {left_out}"
    return f"{_short(node)} -> {_short(wrong)}"


def _short(node: ast.AST) -> str:
    line = " ".join(ast.unparse(node).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _places(node: ast.AST, where: str) -> Iterator[tuple[ast.AST, ast.AST, str, int | None, str]]:
    """Yield each node that can be wrong, with its place, and the function that it is in."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        where = f"{where}.{node.name}" if where else node.name
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment"):
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.AST) and not _is_for_people(child):
                yield child, node, field, index if isinstance(value, list) else None, where or "module"
                yield from _places(child, where)


def _is_for_people(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Expr):
        value = node.value
        is_log = (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr in _LOGGING
        )
        return is_log or isinstance(value, ast.Constant)
    return False


def _wrong(node: ast.AST, parent: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            operators = list(node.ops)
            operators[place] = _COMPARISONS[type(operator)]()
            yield ast.Compare(node.left, operators, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield ast.BinOp(node.left, _OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        yield ast.AugAssign(node.target, _OPERATORS[type(node.op)](), node.value)
    elif isinstance(node, ast.Constant):
        yield from _wrong_constant(node.value)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If | ast.While):
        yield type(node)(_negated(node.test), node.body, node.orelse)
    elif isinstance(node, ast.Return):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise | ast.Expr | ast.Delete | ast.Continue):
        yield ast.Pass()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.keyword) and node.arg is not None:
        # An argument of its own is left out below, in its call.
        return
    elif isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                others = [one for index, one in enumerate(node.keywords) if index != place]
                yield ast.Call(node.func, node.args, others)


def _negated(test: ast.expr) -> ast.expr:
    return test.operand if isinstance(test, ast.UnaryOp) else ast.UnaryOp(ast.Not(), test)


def _wrong_constant(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and " " not in value and 0 < len(value) <= _LONGEST_NAME:
        yield ast.Constant(f"{value}x")
    elif isinstance(value, bytes) and value:
        yield ast.Constant(value + b"x")
