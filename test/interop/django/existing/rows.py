"""`python -m existing.rows write`: one row of each table; `read`: what Django reads, as Python spells it."""

import datetime as dt
import sys
import uuid
from decimal import Decimal

import django

django.setup()

from django.db.backends.postgresql.psycopg_any import DateRange, DateTimeTZRange, NumericRange  # noqa: E402

from existing.models import Everything, Place, Small, TextKey, Uid  # noqa: E402

AT = dt.datetime(2024, 2, 29, 23, 59, 59, 123000, tzinfo=dt.timezone.utc)


def write():
    oslo = Place.objects.create(name='Oslo', code='os-lo')
    bergen = Place.objects.create(name="Ber'gen \\ \"é\"", code='b')
    small = Small.objects.create(label=None)
    first = Uid.objects.create(uid=uuid.UUID(int=1))
    second = Uid.objects.create(uid=uuid.UUID(int=2**128 - 1), parent=first)
    text_key = TextKey.objects.create(code='a/b "c" #1')
    Everything.objects.create(
        big_integer=-(2**63), binary=b'\x00\xff\\', boolean=True, char='Zoë', char_unlimited='x' * 300,
        char_collated='c', char_commented='d', char_indexed='e', char_unique='f', choice='b',
        date=dt.date(1999, 12, 31), date_time=AT, decimal=Decimal('9999999999.99'),
        duration=dt.timedelta(days=-3, microseconds=1), email='a@example.org', file='f.txt', file_path='/p',
        floating=0.1, ip='2001:db8::1', image='i.png', integer=-1, json={'a': [1, None, 'é'], 'b': 1.5},
        positive_big=2**63 - 1, positive=2**31 - 1, positive_small=32767, slug='s-l', small=-32768, text='a\nb\t"',
        time=dt.time(23, 59, 59, 999999), url='https://example.org/', uuid=uuid.UUID(int=7), renamed=5,
        integers=[1, 2, 3], texts=['a', 'b c', 'é', 'x,y', '"'], decimals=[Decimal('1.500'), Decimal('-2.125')],
        matrix=[[1, 2], [3, 4]], hstore={'k "q"': 'v', 'n': None},
        integer_range=NumericRange(1, 5), big_range=NumericRange(None, 2**40),
        decimal_range=NumericRange(Decimal('1.50'), Decimal('2.25'), '(]'),
        date_range=DateRange(dt.date(2024, 1, 1), dt.date(2024, 2, 1)), time_range=DateTimeTZRange(AT, None),
        search="'cat':1 'dog':2", defaulted_text='given', defaulted_decimal=Decimal('1.125'),
        place=oslo, other_place=bergen, uid=second, text_key=text_key, unindexed=small, unchecked=small,
        single=bergen, by_name=bergen,
    )
    # And one that the database makes as far as it can.
    Everything.objects.create(big_integer=0, char='least', decimal=0, small=0, place=oslo)


def read():
    own = {'cqrs_revision', 'cqrs_updated', 'defaulted_time', 'search'}
    for model in (Place, Small, Uid, TextKey, Everything):
        for row in model.objects.order_by('pk'):
            values = {
                field.name: getattr(row, field.attname)
                for field in model._meta.concrete_fields
                if field.name not in own
            }
            print(model.__name__, {name: bytes(v) if isinstance(v, memoryview) else v for name, v in values.items()})


if __name__ == '__main__':
    {'write': write, 'read': read}[sys.argv[1]]()
