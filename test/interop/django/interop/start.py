"""What both long-lived processes begin with."""

import os

import django
from django.core.management import call_command


def set_up():
    os.environ['DJANGO_SETTINGS_MODULE'] = 'interop.settings'
    django.setup()


def create_tables():
    if 'INTEROP_KEEP_TABLES' in os.environ:
        return
    call_command('migrate', run_syncdb=True, verbosity=0, interactive=False)
