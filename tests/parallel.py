"""How the whole suite is spread over processes: the longest first, so that nobody waits for one at the end.

Most of the time is waiting for leases, schedules and start-ups, so there are more processes than cores. What takes long
is a unit of its own and begins first; the rest goes module by module, which keeps a module's fixtures in one process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

# Seconds on two cores that have nothing else to do; `pytest --durations=80` tells them anew. They decide the order, and
# nothing else: a wrong one only makes the suite longer.
SECONDS: dict[str, float] = {
    "test_every_verdict_is_what_metastudio_says_whatever_is_killed": 55,
    "test_a_paused_redis_and_killed_connections_cost_nothing_but_time": 42,
    "test_whatever_redis_refuses_ends_no_process_and_nothing_is_lost": 36,
    "test_ten_poisoned_jobs_and_nothing_else_die_although_it_looks_like_an_outage": 34,
    "test_twenty_killed_workers_lose_nothing_and_delete_nothing_twice": 33,
    "test_the_story_of_a_night": 30,
    "test_a_brownout_under_load_calls_nothing_gone_and_costs_nothing_but_time": 30,
    "test_a_hundred_thousand_jobs_in_one_pass_below_200_mb_with_a_bar": 26,
    "test_the_sentinels_follow_a_kill_a_plan_and_a_partition_and_nothing_is_left_behind": 15,
    "test_a_primary_that_is_killed_replaced_or_cut_off_ends_no_process_and_loses_nothing": 35,
    "test_the_demo_of_the_installed_wheel_ends_as_it_should_and_leaves_nothing": 27,
    "test_four_killed_redis_servers_lose_nothing_that_was_accepted": 24,
    "test_an_update_and_its_rollback_under_load_lose_nothing_and_do_nothing_twice": 20,
    "test_a_replica_of_for_some_seconds_ends_no_worker_and_work_goes_on": 24,
    "test_an_address_that_leads_to_another_primary_is_followed": 24,
    "test_a_worker_whose_only_thread_is_free_again_is_called_at_once": 23,
    "test_a_long_outage_with_20_000_due_costs_nothing_but_time": 22,
    "test_the_process_that_drives_a_replay_is_killed_and_nothing_happens_twice": 21,
    "test_a_worker_that_does_not_know_a_project_hands_its_messages_to_one_that_does": 8,
    "test_the_last_worker_leaves_nothing_leased_and_its_successor_goes_on": 17,
    "test_one_look_names_1378_dead_letters_of_three_causes_and_one_group_is_replayed": 17,
    "test_a_worker_frozen_for_three_leases_does_nothing_twice_and_its_late_200s_are_recorded": 16,
    "test_sigterm_while_redis_is_away_keeps_every_answer_until_it_is_recorded": 16,
    "test_an_account_that_answers_nothing_does_not_slow_down_its_neighbour": 15,
    "test_a_stopped_worker_finishes_its_calls_and_the_rest_goes_on_elsewhere": 15,
    "test_a_key_that_loses_sight_of_the_project_makes_dead_letters_that_a_replay_deletes": 15,
    "test_killed_at_any_line_nothing_is_lost_and_nothing_doubled": 14,
    "test_each_of_all_faults_at_once_has_its_right_end": 13,
    "test_a_key_that_is_refused_in_mid_run_kills_nothing_and_goes_on_after_its_repair": 13,
    "test_where_neither_ledger_nor_broker_answers_a_stopping_worker_waits_for_one_of_them": 13,
    "test_repeated_500s_end_as_dead_letters_and_their_replay_has_a_whole_new_budget": 12,
    "test_a_beat_that_is_frozen_or_dead_is_ill": 12,
    "test_what_waits_is_sent_by_the_new_account_and_what_is_on_hold_by_nobody": 12,
    "test_no_planted_secret_and_nothing_personal_is_found_anywhere": 13,
    "test_redis_jumps_ahead_100_days_and_back_and_nothing_is_freed_ended_or_dated_wrongly": 12,
    "test_the_file_that_is_saved_is_read_aloud_printed_on_one_sheet_and_verified": 12,
    "test_no_interleaving_loses_doubles_or_overwrites": 11,
    "test_whenever_a_worker_is_killed_another_one_ends_what_it_began": 10,
    "test_no_schedule_touches_what_it_must_not_or_ends_without_a_true_verdict": 10,
    "test_each_page_fits_its_window_and_can_be_read_aloud": 11,
    "test_the_overview_changes_by_itself_and_keeps_the_focus": 11,
    "test_a_page_that_hears_nothing_says_that_it_is_old_until_it_does": 11,
    "test_after_any_trouble_a_world_that_is_well_again_finishes_everything": 10,
    "test_killed_with_everything_in_mid_run_it_goes_on_where_it_was": 10,
    "test_a_fuzzer_finds_no_500_and_no_answer_that_is_not_documented": 9,
    "test_a_server_clock_that_jumps_25_minutes_costs_the_calls_under_way_and_nothing_else": 9,
    "test_a_child_or_a_redis_that_dies_is_started_again": 9,
    "test_fifty_thousand_are_grouped_listed_planned_frozen_fed_and_taken_back": 9,
    "test_a_message_that_comes_while_the_ledger_is_away_is_recorded_when_it_is_back": 9,
    "test_one_poisoned_job_costs_four_hundred_good_ones_no_attempt_and_no_pause": 9,
    "test_the_doctor_sees_who_takes_our_messages_and_where_ours_lie": 9,
    "test_a_429_now_and_then_among_good_answers_slows_nobody_down": 8,
    "test_a_primary_that_the_sentinels_replaced_is_left_whether_it_takes_writes_or_answers_nothing": 8,
    "test_many_are_exported_and_verified": 8,
    "test_a_dead_redis_is_said_within_the_patience": 8,
    "test_killed_at_any_line_each_deletion_is_a_record_or_a_mark": 8,
    "test_by_function_and_by_script_the_same_happens": 6,
    "test_too_few_jobs_for_every_trouble_are_refused_with_the_least_number": 6,
    "test_the_wheel_has_every_file_of_the_packages_and_says_what_it_is": 6,
    "test_a_demo_that_is_stopped_or_killed_leaves_nothing": 4,
    "test_a_recheck_goes_on_through_what_was_archived": 4,
    "test_what_is_long_comes_in_the_end_though_its_first_answer_is_lost": 8,
    "test_one_goes_first_then_ten_then_a_hundred_then_all": 7,
    "test_a_worker_that_starts_while_redis_is_full_drains_it_and_goes_on_afterwards": 7,
    "test_a_broker_of_its_own_that_hangs_does_not_stop_deletions": 7,
    "test_a_hold_with_a_date_is_ended_by_the_worker": 7,
    "test_a_full_redis_refuses_requests_clearly_and_drains_what_is_pending": 7,
    "test_a_hundred_thousand_ids_come_through_a_pipe": 7,
    "test_its_log_is_one_json_object_an_event_and_carries_no_secret": 7,
    "test_requests_retries_grace_dead_letters_and_rescue_go_on": 7,
    "test_a_command_of_celerys_reaches_the_workers_of_its_own_installation_only": 7,
    "test_whatever_is_damaged_all_others_end_and_nothing_is_silent": 7,
    "test_the_types_are_strict_and_hold": 6,
    "test_whatever_is_answered_nothing_is_called_gone_that_is_there": 6,
    "test_whatever_comes_is_settled_and_no_failure_is_called_a_success": 6,
    "test_two_beats_for_three_slots_are_three_runs_and_a_dead_beat_is_made_up_once": 6,
    "test_messages_in_the_hands_of_a_worker_that_stops_go_back_when_the_ledger_is_away": 6,
    "test_what_waits_for_later_is_looked_at_once_and_then_when_it_is_due": 6,
    "test_a_worker_that_is_killed_in_an_outage_of_the_ledger_has_given_its_messages_back": 6,
    "test_two_applications_on_one_broker_lose_nothing_to_each_other": 6,
    "test_messages_beyond_the_threads_of_a_worker_that_stops_are_not_lost": 6,
    "test_the_http_side_is_where_it_says_and_ends_with_the_rest": 5,
    "test_a_broker_of_its_own_that_is_away_does_not_stop_deletions": 5,
    "test_a_hold_between_request_and_call_stops_it_and_its_removal_sends_it": 5,
    "test_a_redis_that_says_nothing_is_given_up": 5,
    "test_a_cluster_has_every_slot_and_a_replica_takes_over": 5,
    "test_an_act_on_a_replica_says_that_nothing_can_be_written": 4,
    "test_status_on_a_replica_does_not_say_that_work_goes_on": 4,
    "test_what_is_requested_is_what_a_brute_force_reading_of_the_policy_says": 4,
    "test_no_key_is_refused_more_than_twice_in_five_minutes_whatever_anybody_does": 4,
    "test_no_second_holds_more_calls_than_the_limit": 4,
}
USUAL = {  # of any other test; where nothing is said it is short
    "tests/acceptance/": 10.0,
    "tests/browser/": 10.0,
    "tests/execution/test_absence.py": 0.2,
    "tests/execution/test_erasure_damage.py": 0.3,
    "tests/execution/test_erasure_moves.py": 1.0,
    "tests/execution/test_erasure_safety.py": 0.2,
    "tests/execution/test_executor.py": 0.2,
    "tests/interfaces/cli/test_learn.py": 0.5,
    "tests/interfaces/cli/test_output.py": 1.0,
    "tests/interfaces/cli/test_receipts.py": 0.3,
    "tests/interfaces/cli/test_terminal.py": 1.0,
    "tests/ledger/test_project_moves_machine.py": 1.5,
    "tests/ledger/test_redis_errors.py": 0.2,
    "tests/local/": 1.0,
    "tests/services/test_listing.py": 0.3,
}
SHORT = 0.05
TOGETHER = ("tests/browser/test_pages.py", "tests/acceptance/test_wrong_settings.py")  # one fleet for the module


def processes() -> int:
    """How many share the suite: of what a test takes it waits for more than half."""
    return 3 * max(2, os.cpu_count() or 2)


def compile_tests(folders: Iterable[Path]) -> None:
    """Let pytest rewrite each module once, before every process would do so for itself."""
    checkout = Path(__file__).parents[1]
    stale = [file.resolve().relative_to(checkout) for folder in folders for file in _stale(folder)]
    modules = [".".join(file.with_suffix("").parts) for file in stale]
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        list(pool.map(_try_to_import, modules))


def _stale(folder: Path) -> list[Path]:
    """The modules without byte code that is as new as they are."""
    found = []
    for file in folder.rglob("test_*.py"):
        compiled = file.parent.glob(f"__pycache__/{file.stem}.*-pytest-*.pyc")
        if not any(each.stat().st_mtime >= file.stat().st_mtime for each in compiled):
            found.append(file)
    return found


def _try_to_import(module: str) -> None:
    with suppress(Exception):  # collecting it says why
        import_module(module)


def unit(nodeid: str) -> str:
    """What runs in one piece: a long test, or all the short ones of a module."""
    module = nodeid.partition("::")[0]
    if module in TOGETHER or seconds(nodeid) <= SHORT:
        return module
    return nodeid


def seconds(nodeid: str) -> float:
    """What the test is expected to take."""
    module, _, test = nodeid.partition("::")
    usual = next((each for place, each in USUAL.items() if module.startswith(place)), SHORT)
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
