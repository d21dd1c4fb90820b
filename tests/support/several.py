"""Runs collected tests in several processes, each forked from the one that has collected them.

Nothing is imported or collected twice, and a process that is free gets the next unit (tests that run in one piece) at
that moment. The process that collected only hands out and reports: to pytest and its plugins it is as if the tests ran
in it. One that dies in a test fails that test, and another goes on with the rest of the unit.
"""

from __future__ import annotations

import atexit
import gc
import os
import traceback
import warnings
from collections import deque
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

LOOK_S = 1.0  # seconds between two looks at who has died: a process that it left behind may hold its pipe open
Unit = list[pytest.Item]


def run(session: pytest.Session, units: list[Unit], processes: int) -> None:
    """Run all units, the first ones first; the outcome of each test is reported to this process's plugins."""
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.showfspath = False  # tests of many files end in turn
    directory = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    gc.collect()
    gc.freeze()  # no process looks through all that was collected, again and again
    _Run(session, units, directory).run(processes)


@dataclass
class _Process:
    pid: int
    pipe: Connection
    unit: int | None = None
    at: int = 0  # in its unit: the test that is under way

    @property
    def has_died(self) -> bool:
        """Seen without being taken note of: `_Run` waits for it later."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Run:
    """The side that hands out."""

    def __init__(self, session: pytest.Session, units: list[Unit], directory: Path) -> None:
        self.session = session
        self.units = units
        self.waiting = deque((number, 0) for number in range(len(units)))  # and the test of the unit to begin with
        self.directory = directory  # of all; each process has one in it
        self.started = 0
        self.processes: dict[Connection, _Process] = {}

    def run(self, processes: int) -> None:
        try:
            for _ in range(min(processes, len(self.waiting))):
                self._start()
            while self.processes:
                ready = wait([*self.processes], LOOK_S)
                for process in [*self.processes.values()]:
                    if process.pipe in ready or process.has_died:
                        self._listen(process)
        finally:  # one that is in a test when this is interrupted ends after its next report
            for process in self.processes.values():
                process.pipe.close()
            for process in self.processes.values():
                os.waitpid(process.pid, 0)

    def _start(self) -> None:
        here, there = Pipe()
        self.started += 1
        if (pid := os.fork()) == 0:
            for pipe in (here, *self.processes):
                pipe.close()
            _become(self.session, self.units, there, self.directory / f"process-{self.started}")
        there.close()
        process = self.processes[here] = _Process(pid, here)
        self._hand_out(process)

    def _hand_out(self, process: _Process) -> None:
        """The next unit; without one it ends."""
        stop = self.session.shouldfail or self.session.shouldstop
        process.unit, process.at = (None, 0) if stop or not self.waiting else self.waiting.popleft()
        process.pipe.send((process.unit, process.at))

    def _listen(self, process: _Process) -> None:
        died = process.has_died
        try:
            while process.pipe.poll():
                self._take_in(process, *process.pipe.recv())
        except (EOFError, OSError):
            died = True
        if died:
            self._bury(process)

    def _take_in(self, process: _Process, word: str, what: Any) -> None:
        hook, config = self.session.config.hook, self.session.config
        if word == "report":
            hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=config, data=what))
        elif word == "warning":
            hook.pytest_warning_recorded.call_historic(kwargs=what)
        elif word == "ended":
            process.at += 1
        elif word == "free":
            self._hand_out(process)
        else:
            raise RuntimeError(f"a process of tests could not end well:\n{what}")

    def _bury(self, process: _Process) -> None:
        """What it was at has failed; what it had not begun is begun by another."""
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        del self.processes[process.pipe]
        process.pipe.close()
        if process.unit is None:
            return
        item = self.units[process.unit][process.at]
        why = f"the process of this test ended with {code}"
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
        self.session.config.hook.pytest_runtest_logreport(report=report)
        if process.at + 1 < len(self.units[process.unit]):
            self.waiting.appendleft((process.unit, process.at + 1))
        if self.waiting:
            self._start()


def _become(session: pytest.Session, units: list[Unit], pipe: Connection, directory: Path) -> None:
    """The side that runs tests, from the fork to the end of its process."""
    code = 1
    try:
        atexit._clear()  # what the process that collected does at its end
        _be_silent(session.config, pipe)
        directory.mkdir(mode=0o700)
        session.config._tmp_path_factory._basetemp = directory  # type: ignore[attr-defined]
        _work(session, units, pipe)
        code = 0
    except (BrokenPipeError, EOFError):
        pass  # nobody wants to know the rest
    except BaseException:  # `os._exit` would say nothing of it
        pipe.send(("broken", traceback.format_exc()))
    finally:
        try:
            atexit._run_exitfuncs()
        finally:
            os._exit(code)


def _be_silent(config: pytest.Config, pipe: Connection) -> None:
    """What is reported goes to the process that collected; what a test prints is captured here."""
    plugins = config.pluginmanager
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()  # into a file that all would share
    capture.start_global_capturing()
    capture.suspend_global_capture()
    plugins.unregister(name="terminalreporter")
    reporter = _Reporter(config, pipe)
    plugins.register(reporter)
    reporter.is_new = False


@dataclass(eq=False)  # pytest puts plugins into sets
class _Reporter:
    config: pytest.Config
    pipe: Connection
    is_new: bool = True  # what it is given then are warnings of old, which are reported already

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.pipe.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        if self.is_new:
            return
        about = warning_message
        plain = warnings.WarningMessage(str(about.message), about.category, about.filename, about.lineno)
        self.pipe.send(("warning", {"warning_message": plain, "when": when, "nodeid": nodeid, "location": location}))


def _work(session: pytest.Session, units: list[Unit], pipe: Connection) -> None:
    session_alone: Any = session  # in the place of the next test: what is wider than a module stays
    try:
        while (handed := pipe.recv())[0] is not None:
            number, start = handed
            unit = units[number][start:]
            for item, following in zip(unit, [*unit[1:], session_alone], strict=True):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                pipe.send(("ended", None))
                if session.shouldfail or session.shouldstop:
                    break
            pipe.send(("free", None))
    finally:
        session._setupstate.teardown_exact(None)
