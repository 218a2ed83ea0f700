"""The experiments of courses on the systems side of language models, on one machine.

Sizes, shapes, numbers of steps and the attention sweep are those of assignment 2 of Stanford's
CS336 ("Language Modeling from Scratch"), without its parts about many GPUs. Where that asks for a
fixed number of calls, the largest models make fewer, so that all of it ends within hours on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from honed.suite.base import Experiment

HELP = "training steps, attention, profiles, precision and memory of language models"

_STEPS, _FEW = "warmup_steps=5 steps=10", "warmup_steps=1 steps=3"
_CALLS = "warmup_steps=1 duration_s=2 min_samples=5 timeout_s=3600"
_TRAIN = "workload=train_step batch_size=4 sequence_length=128"
# Tiny models and shapes for `--quick`.
_TINY = (
    "model=lm-small model.d_model=64 model.d_ff=128 model.num_layers=4 model.num_heads=4 "
    "model.vocab_size=200"
)
_TINY_TRAIN = (
    f"{_TINY} workload=train_step batch_size=2 sequence_length=32 warmup_steps=1 steps=6 threads=1"
)
Sweeps = Mapping[str, tuple[str, ...]]  # by the name of the experiment

_EXPERIMENTS = (
    Experiment(
        "sizes", "Sizes", "How long do forward, backward and optimizer take at each size?",
        "phases",
    ),
    Experiment("warmup", "Warm-up", "What do the first steps do to the mean?", "warmup"),
    Experiment(
        "mixed", "Mixed precision: time", "How much faster is a step with bf16 autocast?",
        "phases", compares=True,
    ),
    Experiment(
        "compiled", "torch.compile", "What does it gain for attention alone, and for the model?",
        "phases", compares=True,
    ),
    Experiment(
        "profile", "Profile",
        "Which operators take the time, and how does a training step differ from a forward pass?",
        "profile",
    ),
    Experiment(
        "engines", "Engines", "Which operators take the time of a forward pass in each engine?",
        "profile",
    ),
    Experiment(
        "precision", "Mixed precision: types and errors",
        "Which outputs are 16 bits wide, which stay fp32, and how far are they off?", "precision",
    ),
    Experiment(
        "memory", "Memory", "What is alive when, and did the plan know it?", "memory", plans=True
    ),
    Experiment(
        "checkpointing", "Activation checkpointing", "What does it save, and what does it cost?",
        "checkpointing",
    ),
    Experiment(
        "attention", "Attention",
        "How do time and memory grow with the length, and where does each kernel end?",
        "attention",
    ),
    Experiment(
        "causal", "Causal attention of one sequence",
        "How far ahead is the fused kernel, up to very long sequences?", "attention",
    ),
)  # fmt: skip


def experiments(*, quick: bool) -> tuple[Experiment, ...]:
    sweeps = _quick() if quick else _whole()
    return tuple(
        replace(each, sweeps=sweeps[each.name]) for each in _EXPERIMENTS if each.name in sweeps
    )


def _whole() -> Sweeps:
    small = f"model=lm-small {_TRAIN}"
    return {
        "sizes": (
            f"model=lm-small,lm-medium {_TRAIN} {_STEPS} until=forward,backward,optimizer",
            f"model=lm-large,lm-xl,lm-2.7b {_TRAIN} {_FEW} until=forward,backward,optimizer "
            "timeout_s=3600",
        ),
        "warmup": (f"{small} warmup_steps=0,1,2,5 steps=10",),
        "mixed": (f"model=lm-small,lm-medium {_TRAIN} {_STEPS} precision=fp32,bf16",),
        "compiled": (
            f"{small} {_STEPS}", f"{small} {_STEPS} torch.compiled_attention=on",
            f"{small} {_STEPS} torch.mode=compile",
        ),
        "profile": (
            f"model=lm-small,lm-medium {_TRAIN} {_FEW} until=forward,optimizer passes=profile",
            f"{small.replace('=128', '=512')} {_FEW} passes=profile",
        ),
        "engines": (
            "model=lm-small batch_size=4 sequence_length=128 duration_s=3 min_samples=5 "
            "backend=torch,onnxruntime,openvino passes=profile",
        ),
        "precision": (f"{small} {_FEW} precision=bf16,fp16 passes=precision",),
        "memory": (
            f"model=lm-medium {_TRAIN} {_FEW} until=forward,optimizer precision=fp32,bf16 "
            "passes=memory_timeline",
            "model=lm-small workload=train_step batch_size=4 sequence_length=256,512 "
            f"{_FEW} passes=memory_timeline",
        ),
        "checkpointing": (
            f"{small} {_FEW} checkpointing=off,blocks,nested passes=memory_timeline",
        ),
        "attention": (
            "workload=attention batch_size=8 d_model=16,32,64,128 "
            f"sequence_length=256,1024,4096,8192,16384 attention=naive,sdpa {_CALLS}",
            "workload=attention batch_size=8 d_model=64 sequence_length=256,1024,4096 "
            f"attention=compile {_CALLS}",
        ),
        "causal": (
            "workload=attention batch_size=1 causal=on d_model=64 precision=fp32,bf16 "
            "sequence_length=128,512,2048,8192,32768,65536 "
            f"attention=naive,sdpa {_CALLS}",
        ),
    }  # fmt: skip


def _quick() -> Sweeps:
    """Few processes: most experiments read the same records."""
    observed = f"{_TINY_TRAIN} passes=profile+memory_timeline"
    mixed = f"{_TINY_TRAIN} precision=bf16 passes=profile+memory_timeline+precision"
    cold = f"{_TINY_TRAIN.replace('warmup_steps=1', 'warmup_steps=0')} passes=profile"
    nested = f"{observed} checkpointing=nested"
    too_large = f"{_TINY} workload=train_step batch_size=1000000 sequence_length=2048 steps=1"
    return {
        "sizes": (observed, too_large),
        "warmup": (observed, cold),
        "mixed": (observed, mixed),
        "profile": (observed,),
        "precision": (mixed,),
        "memory": (observed,),
        "checkpointing": (observed, nested),
        "attention": (
            "workload=attention batch_size=2 d_model=16 sequence_length=64 "
            "attention=naive,sdpa warmup_steps=1 steps=6 threads=1",
        ),
    }
