"""What Python imports at its start, by which unittest tells no time: "Ran 3 tests in 0.000s".

See `punie_steady`, which does the same for pytest. Only unittest's own clock stands still. A
`sitecustomize` of the Python at hand, which this one stands before, is run as well.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType, SimpleNamespace

_PATCHED = "unittest.runner"


def _still() -> float:
    return 0.0


class _Finder:
    """Finds unittest's runner as Python does, and stops its clock once it is there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the usual spec of that one module; None leaves any other to the next finder."""
        if name != _PATCHED:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            module.time = SimpleNamespace(perf_counter=_still)  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _run_the_usual_one() -> None:
    """Run the `sitecustomize` that would have been found without this folder."""
    own = __file__.rpartition("/")[0]
    spec = PathFinder.find_spec(__name__, [each for each in sys.path if each != own])
    if spec is not None and spec.loader is not None and spec.origin != __file__:
        spec.loader.exec_module(module_from_spec(spec))


sys.meta_path.insert(0, _Finder())
_run_the_usual_one()
