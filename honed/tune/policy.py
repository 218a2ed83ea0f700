"""Every constant of the search and of the confirmation, each with its reason or measurement.

The constants of every experiment (the length of a process, the race, the noise) are in
`honed.experiment.policy`. `benchmarks/regret.py` and `gain.py` show what a change costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Policy:
    """Times are seconds, gains and distances are ratios of costs unless a name says otherwise."""

    # --- What is searched -------------------------------------------------------------------

    # Without budget= and trials=: ten minutes.
    budget_s: float = 600.0
    # A larger batch gains little throughput on a CPU and makes every call longer.
    largest_batch: int = 32
    # Nothing uses more streams or arenas than twice the cores.
    per_core: int = 2
    # Settings that a profile keeps for the next study to begin with.
    profile_settings: int = 5
    # A study that ended by its budget goes on only if it is given 10 % more than it has used.
    resume_share: float = 0.9
    # Trials of `--again`: the default, the best few of the earlier study, and one or two more.
    again_trials: int = 8

    # --- One trial --------------------------------------------------------------------------

    # Checking, warming up and measuring take about 30 calls together.
    trial_calls: int = 30
    # A call that takes 4 times as long per sequence as the best setting's: no knob repairs this.
    hopeless: float = 4.0
    # One trial may take a third of the search: an export may be long, but others need time too.
    longest_trial_share: float = 1 / 3
    # Loading and checking are counted with this much beside warming up and measuring.
    trial_margin_s: float = 2.0
    # Inputs of many lengths are drawn in 8 to 64 batches. A trial times 16 of them: with 8 of 16
    # sorted batches, the mean tokens were up to 5 % off.
    timed_batches: int = 16

    # --- Stages of the search ---------------------------------------------------------------

    # How far into the search (the share of its time or trials that is used) each stage may begin
    # a trial. A stage that is done early leaves its share to the later ones.
    latest_share: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({
        "expert": 0.85, "structures": 0.95, "others": 0.55, "unlikely": 0.6, "halving": 0.7,
        "promising": 0.85, "sampler": 0.85, "machine_knobs": 0.95,
    }))  # fmt: skip
    # The search goes on with the two best branches (engine and precision).
    leading_branches: int = 2
    # A branch is given up after 8 trials of the sampler that gained less than 1 %.
    patience: int = 8
    patience_gain: float = 0.99
    # One trial each tells settings apart that differ by more than 30 %.
    in_doubt: float = 1.3
    # A branch that is expected to be 1.7 times slower than the best one waits for the others.
    weak: float = 1.7
    # With several objectives: of the first 4 of the front, those within 15 % of the best are
    # measured a second time, and those within 8 % a third time.
    front_repeats: int = 4
    repeat_within: tuple[float, ...] = (1.15, 1.08)
    # One short trial is enough to believe in a gain of 2 %: processes differ by more than 1 %.
    knob_gain: float = 0.98
    # Combinations of the machine's knobs that are tried before this is given up.
    combinations: int = 3

    # --- The sampler ------------------------------------------------------------------------

    # The best three settings of a branch, around which others are tried: one alone may be lucky.
    sampled_leaders: int = 3
    # The experts' settings have been measured: random trials at the start would be waste.
    sampler_startup: int = 4
    # A failure counts as twice as slow as the slowest setting that ran (as a logarithm).
    failure_cost_log: float = math.log(2.0)

    # --- Effects of keys --------------------------------------------------------------------

    # The standard deviation that the effects of a key are expected to have (as a logarithm), until
    # its trials say more. Engines and precisions differ by factors, shares of the cores by tenths,
    # the machine's knobs by hundredths (docs/tuning.md, docs/machine.md).
    expected_root: float = 0.5
    expected_structure: float = 0.25
    expected_inputs_knob: float = 0.15
    expected_engine_knob: float = 0.1
    expected_machine_knob: float = 0.04
    # With 15 trials of a search, the shares had a rank correlation of 0.9 with the truth, and none
    # of a flat key was over 5 % (docs/tuning.md); with fewer they say little.
    importance_trials: int = 15

    # --- Time for the confirmation ----------------------------------------------------------

    # The confirmation is given between a quarter and half of the budget; within these, the time
    # that its processes are expected to take.
    least_confirmation_share: float = 0.25
    most_confirmation_share: float = 0.5
    # Six blocks of the whole path tell every step, and give a useful interval. Three of them go
    # before the race: an explanation of a good setting is worth more than a slightly better one.
    path_blocks: int = 6
    least_path_blocks: int = 3
    # The confirmation's time is estimated for this many candidates.
    finalists: int = 4
    # The last record takes this much longer than a trial: all its calls, and the memory pass.
    whole_record_s: float = 8.0
    # Importances, and writing the outcome.
    writing_s: float = 4.0
    # At most a quarter of the confirmation for the last record: an interval is worth more. Its
    # calls take a quarter of the time that is then left; the rest is starting and the memory pass.
    last_share: float = 0.25
    # The time that is assumed for a process of a setting that has not been measured.
    unknown_process_s: float = 10.0

    # --- Who races --------------------------------------------------------------------------

    # A difference under 1 % is not worth a knob (as a logarithm).
    same_log: float = math.log(1.01)
    # Short trials cannot tell 2 % apart: of the settings within it, the simplest enters the race.
    close: float = 1.02
    # A setting within 8 % of the winner by one trial each may be the better one.
    rival: float = 1.08
    rivals: int = 4
    # The default's processes take long: it races only if it is within 30 % of the winner.
    default_near: float = 1.3
    # The race has 45 % of the confirmation's time; an entrant must fit at least 3 times.
    race_share: float = 0.45
    race_blocks: int = 3
    # The simplest setting within one standard error of the best wins the race (the rule of
    # Breiman et al. 1984): the first of several that the blocks cannot tell apart is lucky.
    race_errors: float = 1.0

    # --- The proof --------------------------------------------------------------------------

    # A block is planned 5 % longer than its processes took so far.
    round_margin: float = 1.05
    # One block gives every step of the path a value before anything else.
    first_blocks: int = 1
    # Twenty blocks give an interval of one or two hundredths.
    most_blocks: int = 20
    # Knobs gain little, and their processes are short. All of them have half of the time that is
    # then left; those in doubt have three quarters of the rest. A knob in the middle that is
    # dropped makes new settings of those after it, which are measured in another part; four parts
    # at most.
    knob_share: float = 0.5
    doubt_share: float = 0.75
    knob_rounds: int = 4
    # After the first part, a knob goes on whose gain is larger than about one standard error. A
    # knob that does nothing is then mostly gone; one of two standard errors seldom.
    open_level: float = 0.3
    # An engine or a precision that gains nothing is dropped at half time, so that the path without
    # it can be measured; this happens twice at most.
    root_share: float = 0.5
    root_rounds: int = 2
    # Noise alone makes any step of a path look proven in one study of a hundred.
    false_step: float = 0.01


POLICY = Policy()
