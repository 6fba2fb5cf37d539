"""Writes what python-dateutil, with which django-cqrs reads `expires`, makes of every form in which Python prints a time.

    python test/interop/expires/forms.py > test/golden/expires.json

A time without an offset is UTC here; what dateutil refuses is null.
"""
import email.utils
import json
from datetime import date, datetime, timedelta, timezone

from dateutil import parser

ZONES = [
    None,
    timezone.utc,
    timezone(timedelta(hours=2)),
    timezone(timedelta(hours=-9, minutes=-30)),
    timezone(timedelta(hours=5, minutes=45)),
    timezone(timedelta(hours=14)),
]
TIMES = [
    datetime(2030, 1, 2, 3, 4, 5),
    datetime(2030, 12, 31, 23, 59, 59, 999999),
    datetime(2028, 2, 29, 0, 0, 0, 120000),
    datetime(1999, 10, 11, 12, 0, 0),
]
FORMATS = [
    '%Y-%m-%dT%H:%M:%S.%f%z', '%Y-%m-%d %H:%M:%S%z', '%Y-%m-%dT%H:%M:%SZ', '%Y-%m-%dT%H:%M:%S.%fZ', '%Y-%m-%dt%H:%M:%Sz',
    '%Y-%m-%dT%H:%M', '%Y-%m-%d %H:%M %z', '%Y-%m-%dT%H', '%Y-%m-%dT%H:%M:%S,%f',
    '%Y%m%dT%H%M%S', '%Y%m%dT%H%M%S%z', '%Y%m%dT%H%M%SZ', '%Y%m%dT%H%M', '%Y%m%d', '%Y%m%d%H%M%S',
    '%Y/%m/%d %H:%M:%S', '%Y.%m.%d %H:%M:%S',
    '%c', '%a %b %d %H:%M:%S %Y', '%a, %d %b %Y %H:%M:%S GMT', '%a, %d %b %Y %H:%M:%S %z', '%A, %d-%b-%y %H:%M:%S GMT',
    '%d %b %Y %H:%M:%S', '%d %B %Y', '%B %d, %Y', '%b %d %Y %I:%M %p', '%d %b %Y %H:%M:%S UTC',
    '%Y-%m-%d %I:%M:%S %p', '%x', '%m/%d/%Y %H:%M:%S', '%d/%m/%Y %H:%M', '%I:%M%p %d %b %Y', '%H:%M:%S %d %b %Y', '%Y-%j', '%G-W%V-%u',
]
NOT_TIMES = ['', ' ', 'never', 'null', '2030-13-01T00:00:00', '2030-02-30T00:00:00', '2030-01-01T25:00:00', '2030-01-01T00:61:00',
             '2030-01-01T00:00:00+25:00', 'x2030-01-01', '2030-01-01T00:00:00 tomorrow', '99999999999999999999']


def forms():
    for time in TIMES:
        yield time.date().isoformat()
        yield time.ctime()
        for zone in ZONES:
            aware = time.replace(tzinfo=zone)
            yield str(aware)
            yield aware.isoformat()
            for spec in ('auto', 'hours', 'minutes', 'seconds', 'milliseconds', 'microseconds'):
                yield aware.isoformat(timespec=spec)
            for text in FORMATS:
                yield aware.strftime(text)
            yield email.utils.format_datetime(aware)
        yield email.utils.format_datetime(time.replace(tzinfo=timezone.utc), usegmt=True)
    yield from NOT_TIMES


def read(text):
    try:
        time = parser.parse(text, default=datetime(2001, 2, 3))
        offset = time.utcoffset()
    except (ValueError, OverflowError):
        return None
    epoch = datetime(1970, 1, 1)
    micros = (time.replace(tzinfo=None) - (offset or timedelta()) - epoch) // timedelta(microseconds=1)
    return micros // 1000


print(json.dumps({text: read(text) for text in dict.fromkeys(forms())}, indent=1))
