"""django-cqrs's own commands on one of the services: `INTEROP_ROLE=replica … python manage.py cqrs_dead_letters retry`."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == '__main__':
    os.environ['DJANGO_SETTINGS_MODULE'] = 'interop.settings'
    execute_from_command_line(sys.argv)
