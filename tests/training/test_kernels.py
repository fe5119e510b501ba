import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from punie.training.kernels import prefer_native_kernels


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="needs Linux and a C++ compiler"
)
def test_the_compiler_gets_this_machines_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert "-march=native" in prefer_native_kernels(tmp_path)
    found = shutil.which("g++")
    assert found is not None
    assert Path(found).is_relative_to(tmp_path)
    prefer_native_kernels(tmp_path)
    assert re.search(r'^exec "/[^"]*" "\$@"', Path(found).read_text(), re.MULTILINE)
    assert str(tmp_path) not in Path(found).read_text()
    library = tmp_path / "a.so"
    source = tmp_path / "a.cpp"
    source.write_text("#if !__FINITE_MATH_ONLY__\n#error plain\n#endif\n")
    built = ["g++", "-shared", "-fPIC", str(source), "-o", str(library)]
    subprocess.run(built, check=True, timeout=60)
    # Loading a kernel must not change how this thread and those that it starts treat tiny numbers.
    ctypes.CDLL(str(library))
    assert np.float32(1e-40) * np.float32(0.5) > 0
