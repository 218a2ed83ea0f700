"""Variables of the shell that move or limit the threads of an engine.

A worker does not inherit them: they would change what is measured while the Case says nothing of
it. What a Case asks for (`threads`, `omp_affinity`, `omp_wait`, ...) is set anew for each worker.
"""

from __future__ import annotations

from collections.abc import Mapping

# OpenMP (any runtime, GNU's, Intel's and LLVM's), Intel's MKL and TBB.
_PREFIXES = ("OMP_", "GOMP_", "KMP_", "MKL_", "TBB_")
_NAMES = frozenset(
    {
        "BLIS_NUM_THREADS",
        "CT2_INTRA_THREADS",
        "CT2_INTER_THREADS",
        "GOTO_NUM_THREADS",
        "JAX_NUM_CPU_DEVICES",
        "LIBOMP_NUM_HIDDEN_HELPER_THREADS",
        "NPROC",  # jax and XLA
        "NUMEXPR_MAX_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OPENBLAS_DEFAULT_NUM_THREADS",
        "OPENBLAS_MAIN_FREE",
        "OPENBLAS_NUM_THREADS",
        "OPENBLAS_THREAD_TIMEOUT",
        "ORT_INTER_OP_NUM_THREADS",
        "ORT_INTRA_OP_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    }
)
_XLA_WORDS = ("multi_thread", "thread_pool", "parallelism", "device_count")
# Settings with one of the prefixes that print, or choose kernels, and leave the threads alone.
_HARMLESS = frozenset(
    {
        "KMP_DUPLICATE_LIB_OK",
        "KMP_INIT_AT_FORK",  # torch sets it when it is imported
        "KMP_SETTINGS",
        "KMP_VERSION",
        "KMP_WARNINGS",
        "MKL_CBWR",
        "MKL_DEBUG_CPU_TYPE",
        "MKL_ENABLE_INSTRUCTIONS",
        "MKL_ROOT",
        "MKL_VERBOSE",
        "OMP_DISPLAY_AFFINITY",
        "OMP_DISPLAY_ENV",
        "TBB_ENABLE_SANITIZERS",
        "TBB_VERSION",
    }
)


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environment` that move or limit threads."""
    return {
        name: value for name, value in sorted(environment.items()) if _moves_threads(name, value)
    }


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` as a worker inherits it."""
    return {name: value for name, value in environment.items() if not _moves_threads(name, value)}


def _moves_threads(name: str, value: str) -> bool:
    if name == "XLA_FLAGS":  # it holds many settings
        return any(words in value for words in _XLA_WORDS)
    return name in _NAMES or (name.startswith(_PREFIXES) and name not in _HARMLESS)
