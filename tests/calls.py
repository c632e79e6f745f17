"""Who calls what in the package, read from its source: for the tests of what must never be called from where.

Names are followed through imports, ``self`` and classes, as far as a reader would follow them without running
anything. A function that is only passed on, such as to a thread, is not called by who passes it on.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
MODULE = "<module>"


@dataclass(frozen=True)
class Call:
    """A call as it is written.

    :param target: The dotted name of what is called, as far as it can be told; ``.name`` for a method of who
        knows what.
    :param arguments: Its arguments, as written.
    :param is_read: Whether an attribute is only read, which calls something where it is a property.
    """

    target: str
    arguments: str
    line: int
    is_read: bool = False


@dataclass
class Code:
    """What runs as a whole: a function's body, or what a module runs when it is imported.

    :param name: Its dotted name; a module's ends with ``<module>``.
    """

    name: str
    is_async: bool = False
    is_property: bool = False
    calls: list[Call] = field(default_factory=list)


class Calls:
    """
    All calls of a package.

    :param modules: The source of each module by its dotted name.
    """

    def __init__(self, modules: dict[str, str]) -> None:
        self.modules = modules
        self.code: dict[str, Code] = {}
        self._bases: dict[str, list[str]] = {}
        self._aliases: dict[str, str] = {}
        for module, source in modules.items():
            _Reader(module, self.code, self._bases, self._aliases).read(ast.parse(source))

    @classmethod
    def of(cls, package: Path) -> Calls:
        """Read all modules of a package."""
        return cls(
            {
                ".".join((package.name, *path.relative_to(package).with_suffix("").parts)).removesuffix(
                    ".__init__"
                ): path.read_text(encoding="utf-8")
                for path in sorted(package.rglob("*.py"))
            }
        )

    def paths(
        self, roots: Iterable[Code], is_wanted: Callable[[Call], bool], *, through_async: bool
    ) -> list[str]:
        """
        Return how a wanted call is reached, one way from each root, in the form ``a -> b -> call (line 3)``.

        :param roots: Where to begin.
        :param is_wanted: Whether a call is one to be found.
        :param through_async: Whether to follow a call of an ``async`` function.
        """
        return [path for root in roots if (path := self._path(root, is_wanted, through_async)) is not None]

    def _path(self, root: Code, is_wanted: Callable[[Call], bool], through_async: bool) -> str | None:
        waiting, seen = deque([(root, root.name)]), {root.name}
        while waiting:
            code, path = waiting.popleft()
            for call in code.calls:
                if not call.is_read and is_wanted(call):
                    return f"{path} -> {call.target}({call.arguments}) (line {call.line})"
                for callee in self._callees(call.target):
                    if call.is_read and not callee.is_property:
                        continue
                    if callee.name not in seen and (through_async or not callee.is_async):
                        seen.add(callee.name)
                        waiting.append((callee, f"{path} -> {callee.name}"))
        return None

    def _callees(self, target: str) -> Iterator[Code]:
        for name in self._spellings(target):
            if name in self.code:
                yield self.code[name]
                return
            if name in self._bases:
                for method in ("__init__", "__post_init__", "__new__"):
                    yield from self._callees(f"{name}.{method}")
                return
            owner, _, method = name.rpartition(".")
            for base in self._bases.get(owner, ()):
                yield from self._callees(f"{base}.{method}")

    def _spellings(self, target: str) -> Iterator[str]:
        """Yield a name, and what it stands for where a module only hands it on."""
        seen = set()
        while target not in seen:
            seen.add(target)
            yield target
            head, tail = target, ""
            while head and head not in self._aliases:
                head, _, last = head.rpartition(".")
                tail = f".{last}{tail}"
            if head:
                target = self._aliases[head] + tail


class _Reader:
    def __init__(
        self, module: str, code: dict[str, Code], bases: dict[str, list[str]], aliases: dict[str, str]
    ) -> None:
        self._module, self._code, self._bases, self._aliases = module, code, bases, aliases
        self._known: dict[str, str] = {}

    def read(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._known[alias.asname or name] = name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for name, target in self._known.items():
            self._aliases[f"{self._module}.{name}"] = target
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef):
                self._known[node.name] = f"{self._module}.{node.name}"
        self._scope(tree.body, Code(f"{self._module}.{MODULE}"), owner=None)

    def _scope(self, body: list[ast.stmt], code: Code, *, owner: str | None) -> None:
        self._code[code.name] = code
        for statement in body:
            self._visit(statement, code, owner)

    def _visit(self, node: ast.AST, code: Code, owner: str | None) -> None:
        part: ast.AST
        if isinstance(node, Function):
            # What runs where the function is defined: its decorators and its defaults.
            for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                self._visit(part, code, owner)
            name = f"{owner or self._within(code)}.{node.name}"
            self._known.setdefault(node.name, name)
            # Of several of the same name, such as a property and its setter, all that any of them does.
            earlier = self._code.get(name, Code(name))
            is_property = any("property" in ast.unparse(one) for one in node.decorator_list)
            is_async = isinstance(node, ast.AsyncFunctionDef)
            self._scope(node.body, Code(name, is_async, is_property, earlier.calls), owner=owner)
            return
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ClassDef):
            name = f"{self._module}.{node.name}"
            self._bases[name] = [self._dotted(base, owner) for base in node.bases]
            for part in (*node.decorator_list, *node.keywords, *node.body):
                self._visit(part, code, name)
            return
        if isinstance(node, ast.Call):
            arguments = ", ".join(map(ast.unparse, (*node.args, *(one.value for one in node.keywords))))
            code.calls.append(Call(self._dotted(node.func, owner), arguments, node.lineno))
        elif isinstance(node, ast.Attribute):
            code.calls.append(Call(self._dotted(node, owner), "", node.lineno, is_read=True))
        for child in ast.iter_child_nodes(node):
            self._visit(child, code, owner)

    def _within(self, code: Code) -> str:
        return self._module if code.name.endswith(MODULE) else code.name

    def _dotted(self, node: ast.AST, owner: str | None) -> str:
        if isinstance(node, ast.Name):
            return self._known.get(node.id, node.id)
        if isinstance(node, ast.Subscript):
            return self._dotted(node.value, owner)
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls") and owner:
                return f"{owner}.{node.attr}"
            is_super = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
            if is_super and owner and self._bases.get(owner):
                return f"{self._bases[owner][0]}.{node.attr}"
            before = self._dotted(node.value, owner)
            return f"{before}.{node.attr}" if before else f".{node.attr}"
        return ""
