"""`python -m interop.worker`: makes the replica's tables, then works as `cqrs_consume` until its standard input ends."""

import os
import signal
import sys
import threading

from django.core.management import call_command

from interop.start import create_tables, set_up


def stop_with_parent():
    # A test run that is killed can tell nobody; its end of the pipe closes all the same.
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == '__main__':
    set_up()
    create_tables()
    threading.Thread(target=stop_with_parent, daemon=True).start()
    call_command('cqrs_consume')
