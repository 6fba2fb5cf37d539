"""A Django service with tables of its own, which a service of ours takes over: every type of field, key and index."""

import os
from urllib.parse import unquote, urlsplit

_database = urlsplit(os.environ['EXISTING_DATABASE_URL'])
_name = _database.path.lstrip('/')

SECRET_KEY = 'tests have none'
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
INSTALLED_APPS = ['django.contrib.postgres', 'dj_cqrs', 'existing']
# An ImageField is a column like that of a FileField; Pillow is for its forms.
SILENCED_SYSTEM_CHECKS = ['fields.E210']
DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'HOST': _database.hostname,
        'PORT': _database.port or 5432,
        'USER': unquote(_database.username or 'postgres'),
        'PASSWORD': unquote(_database.password or ''),
        'NAME': _name,
        # `manage.py test --keepdb` runs on the very tables that ours works with
        'TEST': {'NAME': _name},
    },
}
CQRS = {
    'transport': 'dj_cqrs.transport.RabbitMQTransport',
    'url': 'amqp://guest:guest@127.0.0.1:5672/',
    'queue': 'unused',
}
