"""How the whole suite is spread over processes: the longest first, so that nobody waits for one at the end.

Most of the time is waiting for leases, schedules and start-ups, so there are more processes than cores. What takes long
is a unit of its own and begins first; the rest goes module by module, which keeps a module's fixtures in one process.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

# Seconds on two cores that have nothing else to do; `pytest --durations=80` tells them anew. They decide the order, and
# nothing else: a wrong one only makes the suite longer.
SECONDS: dict[str, float] = {
    "test_no_planted_secret_and_nothing_personal_is_found_anywhere": 75,
    "test_no_interleaving_loses_doubles_or_overwrites": 16,
    "test_the_story_of_a_night": 45,
    "test_the_types_are_strict_and_hold": 35,
    "test_a_long_outage_with_20_000_due_costs_nothing_but_time": 33,
    "test_a_hundred_thousand_jobs_in_one_pass_below_200_mb_with_a_bar": 31,
    "test_twenty_killed_workers_lose_nothing_and_delete_nothing_twice": 28,
    "test_an_account_that_answers_nothing_does_not_slow_down_its_neighbour": 28,
    "test_a_worker_whose_only_thread_is_free_again_is_called_at_once": 23,
    "test_the_demo_ends_as_it_should_and_leaves_nothing": 22,
    "test_the_process_that_drives_a_replay_is_killed_and_nothing_happens_twice": 21,
    "test_four_killed_redis_servers_lose_nothing_that_was_accepted": 19,
    "test_killed_at_any_line_nothing_is_lost_and_nothing_doubled": 18,
    "test_a_worker_frozen_for_three_leases_does_nothing_twice_and_its_late_200s_are_recorded": 16,
    "test_sigterm_while_redis_is_away_keeps_every_answer_until_it_is_recorded": 15,
    "test_after_any_trouble_a_world_that_is_well_again_finishes_everything": 15,
    "test_whatever_is_answered_nothing_is_called_gone_that_is_there": 6,
    "test_the_last_worker_leaves_nothing_leased_and_its_successor_goes_on": 14,
    "test_each_of_all_faults_at_once_has_its_right_end": 13,
    "test_a_fuzzer_finds_no_500_and_no_answer_that_is_not_documented": 13,
    "test_a_stopped_worker_finishes_its_calls_and_the_rest_goes_on_elsewhere": 13,
    "test_ten_poisoned_jobs_and_nothing_else_die_although_it_looks_like_an_outage": 13,
    "test_repeated_500s_end_as_dead_letters_and_their_replay_has_a_whole_new_budget": 12,
    "test_a_key_that_is_refused_in_mid_run_kills_nothing_and_goes_on_after_its_repair": 12,
    "test_what_is_requested_is_what_a_brute_force_reading_of_the_policy_says": 11,
    "test_killed_with_everything_in_mid_run_it_goes_on_where_it_was": 10,
    "test_a_server_clock_that_jumps_25_minutes_costs_the_calls_under_way_and_nothing_else": 10,
    "test_a_child_or_a_redis_that_dies_is_started_again": 10,
    "test_one_look_names_1378_dead_letters_of_three_causes_and_one_group_is_replayed": 9,
    "test_fifty_thousand_are_frozen_fed_and_taken_back": 9,
    "test_ten_thousand_are_exported_and_verified": 8,
    "test_a_message_that_comes_while_the_ledger_is_away_is_recorded_when_it_is_back": 8,
    "test_a_429_now_and_then_among_good_answers_slows_nobody_down": 8,
    "test_one_poisoned_job_costs_four_hundred_good_ones_no_attempt_and_no_pause": 7,
    "test_a_dead_redis_is_said_within_the_patience": 7,
    "test_one_goes_first_then_ten_then_a_hundred_then_all": 7,
    "test_a_worker_that_starts_while_redis_is_full_drains_it_and_goes_on_afterwards": 7,
    "test_a_broker_of_its_own_that_hangs_does_not_stop_deletions": 7,
    "test_a_hold_with_a_date_is_ended_by_the_worker": 7,
    "test_fifty_thousand_dead_letters_are_grouped_listed_planned_and_begun": 7,
    "test_a_full_redis_refuses_requests_clearly_and_drains_what_is_pending": 7,
    "test_a_hundred_thousand_ids_come_through_a_pipe": 7,
    "test_its_log_is_one_json_object_an_event_and_carries_no_secret": 7,
    "test_whatever_comes_is_settled_and_no_failure_is_called_a_success": 6,
    "test_two_beats_for_three_slots_are_three_runs_and_a_dead_beat_is_made_up_once": 6,
    "test_the_http_side_is_where_it_says_and_ends_with_the_rest": 5,
    "test_a_broker_of_its_own_that_is_away_does_not_stop_deletions": 5,
    "test_a_hold_between_request_and_call_stops_it_and_its_removal_sends_it": 5,
    "test_a_redis_that_says_nothing_is_given_up": 5,
}
UNKNOWN = {"tests/acceptance/": 10.0, "tests/browser/": 10.0}  # what starts processes; anything else is short
SHORT = 0.05
TOGETHER = ("tests/browser/test_pages.py", "tests/acceptance/test_wrong_settings.py")  # one fleet for the module


def processes() -> int:
    """How many share the suite."""
    return 2 * max(2, os.cpu_count() or 2)


def unit(nodeid: str) -> str:
    """What runs in one piece: a long test, or all the short ones of a module."""
    module = nodeid.partition("::")[0]
    if module in TOGETHER or seconds(nodeid) <= SHORT:
        return module
    return nodeid


def seconds(nodeid: str) -> float:
    """What the test is expected to take."""
    module, _, test = nodeid.partition("::")
    usual = next((each for folder, each in UNKNOWN.items() if module.startswith(folder)), SHORT)
    return SECONDS.get(test.partition("[")[0], usual)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort units by what their tests take together; within a unit nothing moves."""
    total: dict[str, float] = {}
    for item in items:
        total[unit(item.nodeid)] = total.get(unit(item.nodeid), 0.0) + seconds(item.nodeid)
    items.sort(key=lambda item: (-total[unit(item.nodeid)], unit(item.nodeid)))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each process the next unit as soon as it is free."""
    from xdist.scheduler import LoadScopeScheduling  # only now: a run in one process does without it

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False  # by the number of tests; ours is by their length
    return ByUnit(config, log)
