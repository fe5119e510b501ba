"""A fast BLAS for MLX on Linux.

The Linux wheel of MLX links the reference BLAS, tens of times slower than OpenBLAS. The three
functions that MLX calls are looked up globally, so a library loaded before `mlx.core` that defines
them takes their place. The `scipy-openblas32` wheel has the code under other names; this module
compiles the three renaming functions and loads both libraries into this process.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import platformdirs

_SHIM_SOURCE = """
typedef int layout; typedef int transpose; typedef int blasint;
void scipy_cblas_sgemm(layout, transpose, transpose, blasint, blasint, blasint, float,
    const float *, blasint, const float *, blasint, float, float *, blasint);
void scipy_cblas_dgemm(layout, transpose, transpose, blasint, blasint, blasint, double,
    const double *, blasint, const double *, blasint, double, double *, blasint);
void scipy_cblas_cgemm(layout, transpose, transpose, blasint, blasint, blasint, const void *,
    const void *, blasint, const void *, blasint, const void *, void *, blasint);
void cblas_sgemm(layout l, transpose ta, transpose tb, blasint m, blasint n, blasint k,
    float alpha, const float *a, blasint lda, const float *b, blasint ldb, float beta,
    float *c, blasint ldc) {
  scipy_cblas_sgemm(l, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_dgemm(layout l, transpose ta, transpose tb, blasint m, blasint n, blasint k,
    double alpha, const double *a, blasint lda, const double *b, blasint ldb, double beta,
    double *c, blasint ldc) {
  scipy_cblas_dgemm(l, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void cblas_cgemm(layout l, transpose ta, transpose tb, blasint m, blasint n, blasint k,
    const void *alpha, const void *a, blasint lda, const void *b, blasint ldb,
    const void *beta, void *c, blasint ldc) {
  scipy_cblas_cgemm(l, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
"""


@dataclass(frozen=True)
class BlasReport:
    """What was done about the BLAS of this process.

    Attributes:
        active: whether OpenBLAS now stands in front of the wheel's own BLAS.
        detail: what was done, or why nothing was, for a log.
        library: what stands in front; the same for a child process in its LD_PRELOAD.
    """

    active: bool
    detail: str
    library: Path | None = None


def prefer_fast_blas(threads: int, cache: Path | None = None) -> BlasReport:
    """Put OpenBLAS in front of MLX's own BLAS; call it before `mlx.core` is imported.

    Args:
        threads: how many threads one matrix product may use.
        cache: where the compiled shim is kept; the user's cache folder when left out.

    Returns:
        What was done. Nothing is raised: without a compiler or the wheel, MLX is slow but right.
    """
    if sys.platform != "linux":
        return BlasReport(False, "the platform's own BLAS is used")
    if "mlx.core" in sys.modules:
        return BlasReport(False, "MLX was already loaded, so its own BLAS stays in use")
    openblas = _openblas_library()
    if openblas is None:
        return BlasReport(
            False, "scipy-openblas32 is not installed (punie[training] brings it): slow BLAS"
        )
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return BlasReport(False, "no C compiler was found (cc, gcc, clang): slow BLAS")
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    try:
        shim = _compiled_shim(compiler, openblas, cache or platformdirs.user_cache_path("punie"))
        ctypes.CDLL(str(openblas), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(shim), mode=ctypes.RTLD_GLOBAL)
    except (OSError, subprocess.CalledProcessError) as error:
        return BlasReport(False, f"OpenBLAS could not be put in front: {error}")
    return BlasReport(True, f"OpenBLAS with {threads} thread(s) per matrix product", shim)


def is_blas_in_front() -> bool:
    """Tell whether this process holds a BLAS that MLX's own gives way to."""
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "cblas_sgemm")


def _openblas_library() -> Path | None:
    found = find_spec("scipy_openblas32")
    if found is None or found.origin is None:
        return None
    return next(iter((Path(found.origin).parent / "lib").glob("libscipy_openblas*.so")), None)


def _compiled_shim(compiler: str, openblas: Path, cache: Path) -> Path:
    """Compile the shim once per library location and source; later calls reuse the file."""
    key = hashlib.sha256(f"{openblas}\n{_SHIM_SOURCE}".encode()).hexdigest()[:16]
    shim = cache / "blas" / f"shim-{key}.so"
    if shim.exists():
        return shim
    shim.parent.mkdir(parents=True, exist_ok=True)
    unfinished = shim.with_name(f"{shim.stem}.{os.getpid()}.so")
    source = unfinished.with_suffix(".c")
    source.write_text(_SHIM_SOURCE)
    library_folder = str(openblas.parent)
    linked = [f"-L{library_folder}", f"-l:{openblas.name}", f"-Wl,-rpath,{library_folder}"]
    command = [compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(unfinished), *linked]
    try:
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        unfinished.replace(shim)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{compiler} took longer than a minute") from error
    finally:
        source.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
    return shim
