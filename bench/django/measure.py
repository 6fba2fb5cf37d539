"""
`python measure.py create|bulk|sync|drain|load <count>`: one measure of django-cqrs, with the same row and servers as ours.
Prints {"perSecond": …}. Connections to the database are kept: its best setting.

Where: BENCH_DATABASE_URL, BENCH_AMQP_URL, BENCH_EXCHANGE, BENCH_QUEUE; for load BENCH_DUMP.
How: BENCH_TRANSPORT, a class of dj_cqrs.transport.
"""

import json
import os
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

work, count = sys.argv[1], int(sys.argv[2])
database = urlsplit(os.environ['BENCH_DATABASE_URL'])
settings.configure(
    SECRET_KEY='none',
    USE_TZ=True,
    DEFAULT_AUTO_FIELD='django.db.models.AutoField',
    INSTALLED_APPS=['dj_cqrs'],
    DATABASES={
        'default': {
            'ENGINE': 'django.db.backends.postgresql',
            'HOST': database.hostname,
            'PORT': database.port or 5432,
            'USER': unquote(database.username or 'postgres'),
            'PASSWORD': unquote(database.password or ''),
            'NAME': database.path.lstrip('/'),
            'CONN_MAX_AGE': None,
        }
    },
    CQRS={
        'transport': f'dj_cqrs.transport.{os.environ["BENCH_TRANSPORT"]}',
        'url': os.environ['BENCH_AMQP_URL'],
        'exchange': os.environ['BENCH_EXCHANGE'],
        'queue': os.environ['BENCH_QUEUE'],
        'master': {'CQRS_MESSAGE_TTL': 86400},
        'replica': {'CQRS_MAX_RETRIES': 30},
    },
    LOGGING={'version': 1, 'disable_existing_loggers': True},
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from dj_cqrs._validation import validate_settings  # noqa: E402
from dj_cqrs.mixins import MasterMixin, ReplicaMixin  # noqa: E402

NAME = 'A product of the catalogue, with a name as long as such names are in real life: 64 characters more'


class Columns(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=60000)
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    created_at = models.DateTimeField()
    active = models.BooleanField()

    class Meta:
        abstract = True


class Product(MasterMixin, Columns):
    CQRS_ID = 'product'

    class Meta:
        app_label = 'dj_cqrs'
        db_table = 'products'


class ProductCopy(ReplicaMixin, Columns):
    CQRS_ID = 'product'

    id = models.IntegerField(primary_key=True)

    class Meta:
        app_label = 'dj_cqrs'
        db_table = 'product_copies'


validate_settings(settings)


def product(index):
    at = datetime.fromtimestamp(1_700_000_000 + index, timezone.utc)
    return Product(name=f'{NAME} {index}', quantity=index, price=Decimal(12), created_at=at, active=True)


def create_table(model):
    with connection.schema_editor() as editor:
        editor.create_model(model)


def per_second(do):
    started = time.perf_counter()
    do()
    print(json.dumps({'perSecond': count / (time.perf_counter() - started)}), flush=True)


def create():
    for index in range(count):
        product(index).save()


def bulk():
    Product.cqrs.bulk_create([product(index) for index in range(count)])


def sync():
    devnull = open(os.devnull, 'w')
    call_command('cqrs_sync', f'--cqrs-id=product', '--filter={}', f'--queue={os.environ["BENCH_QUEUE"]}', stdout=devnull)


def drain():
    from dj_cqrs.transport import current_transport

    applied = 0
    consume_message = current_transport._consume_message.__func__

    def counted(cls, *arguments):
        nonlocal applied
        consume_message(cls, *arguments)
        applied += 1
        if applied == count:
            raise KeyboardInterrupt

    current_transport._consume_message = classmethod(counted)
    try:
        current_transport.consume()
    except KeyboardInterrupt:
        pass


def load():
    devnull = open(os.devnull, 'w')
    call_command('cqrs_bulk_load', f'--input={os.environ["BENCH_DUMP"]}', stdout=devnull)


if work in ('drain', 'load'):
    create_table(ProductCopy)
else:
    create_table(Product)
if work == 'sync':
    Product.objects.bulk_create([product(index) for index in range(count)])
per_second(globals()[work])
