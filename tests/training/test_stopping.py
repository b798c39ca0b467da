"""How several processes of a training are asked to stop."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from mpn.training.stopping import interrupt, on_signals, stop_signals


def test_asked_once_it_is_noted_asked_again_it_stops_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals(True) as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_alone_is_stopped_as_ever():
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals(False) as stop:
        assert signal.getsignal(signal.SIGTERM) is before and not stop.asked


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with on_signals((signal.SIGUSR1,), interrupt):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_of_the_main_thread_nothing_is_changed():
    handlers = []

    def work():
        with on_signals((signal.SIGTERM,), interrupt):
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]
