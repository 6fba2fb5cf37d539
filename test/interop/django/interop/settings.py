"""One project, two services: the environment says which it is, where its servers are and what its names are."""

import os
from urllib.parse import unquote, urlsplit

from interop.correlation import correlation_id

ROLE = os.environ['INTEROP_ROLE']  # master or replica
_database = urlsplit(os.environ['INTEROP_DATABASE_URL'])

SECRET_KEY = 'tests have none'
# Where one is named, times have no offset.
USE_TZ = 'INTEROP_TIME_ZONE' not in os.environ
TIME_ZONE = os.environ.get('INTEROP_TIME_ZONE', 'UTC')
DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'
INSTALLED_APPS = ['dj_cqrs', f'interop.{ROLE}s']
DATABASES = {
    'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'HOST': _database.hostname,
        'PORT': _database.port or 5432,
        'USER': unquote(_database.username or 'postgres'),
        'PASSWORD': unquote(_database.password or ''),
        'NAME': _database.path.lstrip('/'),
    },
}
CQRS = {
    'transport': f"dj_cqrs.transport.{os.environ['INTEROP_TRANSPORT']}",
    'url': os.environ['INTEROP_AMQP_URL'],
    'exchange': os.environ['INTEROP_EXCHANGE'],
    'queue': os.environ.get('INTEROP_QUEUE', 'unused'),
    'master': {'correlation_function': correlation_id},
    'replica': {'CQRS_MAX_RETRIES': 1, 'CQRS_RETRY_DELAY': 1},
}
LOGGING = {
    'version': 1,
    'disable_existing_loggers': False,
    'handlers': {'stderr': {'class': 'logging.StreamHandler'}},
    'loggers': {'django-cqrs': {'handlers': ['stderr'], 'level': 'INFO'}},
}
