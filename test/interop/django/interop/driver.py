"""
`python -m interop.driver`: makes the service's tables, then does what it is told, one JSON object a line:

    {"do": "create", "model": "writer", "values": {"id": 1, "name": "Zoë"}}   →   {"result": null}
    {"do": "delete", "model": "odd", …}                                      →   {"error": "TypeError: …"}

Text becomes what the field holds (Decimal, UUID, datetime with its offset) before it is assigned, as in an application.
"""

import contextlib
import io
import json
import sys

from django.core.management import call_command
from django.db import connection, transaction

from interop import correlation
from interop.start import create_tables, set_up


class Driver:
    def __init__(self, models):
        self.models = models

    def do(self, step):
        step = dict(step)
        return getattr(self, step.pop('do'))(**step)

    def create(self, model, values):
        self.models[model].objects.create(**self._typed(model, values))

    def change(self, model, key, values, update_fields=False):
        self._save(self._get(model, key), values, update_fields)

    def change_repeatedly(self, model, key, values):
        """Saves one object several times in one transaction."""
        with transaction.atomic():
            row = self._get(model, key)
            for one in values:
                self._save(row, one)

    def change_and_delete(self, model, key, values):
        """Deletes the very object that was saved, in the same transaction."""
        with transaction.atomic():
            row = self._get(model, key)
            self._save(row, values)
            row.delete()

    def delete(self, model, key):
        self._get(model, key).delete()

    def delete_where(self, model, where):
        self.models[model].objects.filter(**where).delete()

    def bulk_create(self, model, rows, announced=True):
        manager = self.models[model].cqrs if announced else self.models[model].objects
        manager.bulk_create([self.models[model](**self._typed(model, row)) for row in rows])

    def bulk_update(self, model, where, values, announced=True):
        rows = self.models[model].objects.filter(**where)
        if announced:
            self.models[model].cqrs.bulk_update(rows, **self._typed(model, values))
        else:
            rows.update(**self._typed(model, values))

    def sync(self, model, key, queue=None):
        return self._get(model, key).cqrs_sync(queue=queue)

    def transaction(self, steps, roll_back=False):
        with transaction.atomic():
            for step in steps:
                self.do(step)
            transaction.set_rollback(roll_back)

    def begin(self):
        """A transaction over several steps, until `commit`."""
        self.open = transaction.atomic()
        self.open.__enter__()

    def commit(self):
        self.open.__exit__(None, None, None)

    def lock(self, model, key):
        self.models[model].objects.select_for_update().get(pk=key)

    def wait_after_commit(self, lock):
        """Before anything that was announced since is read again: as if another process came in between."""
        transaction.on_commit(lambda: wait_for(lock))

    def wait_before_publishing(self, lock):
        """Holds the next message back when it is complete."""
        correlation.before_publishing.append(lambda: wait_for(lock))

    def command(self, arguments):
        """A command of django-cqrs, without the cost of a new process."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            call_command(*arguments, stdout=printed)
        return printed.getvalue()

    def _get(self, model, key):
        return self.models[model].objects.get(pk=key)

    def _save(self, row, values, update_fields=False):
        for name, value in self._typed(row.CQRS_ID, values).items():
            setattr(row, name, value)
        row.save(**({'update_fields': list(values)} if update_fields else {}))

    def _typed(self, model, values):
        meta = self.models[model]._meta
        return dict(self._value(meta.get_field(name), value) for name, value in values.items())

    @staticmethod
    def _value(field, value):
        if field.is_relation:
            return field.attname, field.target_field.to_python(value)
        if field.get_internal_type() == 'BinaryField':
            return field.name, bytes.fromhex(value)
        return field.name, field.to_python(value)


def wait_for(lock):
    with connection.cursor() as cursor:
        cursor.execute('select pg_advisory_lock(%s), pg_advisory_unlock(%s)', [lock, lock])


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    set_up()
    create_tables()
    from dj_cqrs.registries import MasterRegistry

    driver = Driver(MasterRegistry.models)
    for line in sys.stdin:
        try:
            answer = {'result': driver.do(json.loads(line))}
        except Exception as error:
            answer = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == '__main__':
    main()
