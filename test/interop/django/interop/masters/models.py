"""What the master service owns. Keys are given by whoever writes, so that both worlds can name the same rows."""

from django.db import models

from dj_cqrs.mixins import MasterMixin


class Sample(MasterMixin):
    """A column of every kind that django-cqrs can send."""

    CQRS_ID = 'sample'

    id = models.IntegerField(primary_key=True)
    title = models.CharField(max_length=200)
    body = models.TextField(null=True)
    amount = models.DecimalField(max_digits=24, decimal_places=6, null=True)
    ratio = models.FloatField(null=True)
    active = models.BooleanField(null=True)
    total = models.BigIntegerField(null=True)
    day = models.DateField(null=True)
    at = models.DateTimeField(null=True)
    uid = models.UUIDField(null=True)
    data = models.JSONField(null=True)

    class Meta:
        db_table = 'sample'


class Writer(MasterMixin):
    CQRS_ID = 'writer'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'writer'


class Book(MasterMixin):
    CQRS_ID = 'book'

    id = models.IntegerField(primary_key=True)
    title = models.CharField(max_length=100)
    writer = models.ForeignKey(Writer, on_delete=models.PROTECT, related_name='+')
    editor = models.ForeignKey(Writer, on_delete=models.PROTECT, related_name='+', null=True)

    class Meta:
        db_table = 'book'


class UuidKeyed(MasterMixin):
    CQRS_ID = 'uuid_keyed'

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'uuid_keyed'


class TextKeyed(MasterMixin):
    """Its key is not called `id`."""

    CQRS_ID = 'text_keyed'

    code = models.CharField(primary_key=True, max_length=40)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'text_keyed'


class BigKeyed(MasterMixin):
    CQRS_ID = 'big_keyed'

    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'big_keyed'


class Tracked(MasterMixin):
    CQRS_ID = 'tracked'
    CQRS_TRACKED_FIELDS = ('name', 'price', 'writer', 'at', 'uid')

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    writer = models.ForeignKey(Writer, on_delete=models.PROTECT, related_name='+', null=True)
    at = models.DateTimeField(null=True)
    uid = models.UUIDField(null=True)
    untracked = models.IntegerField(default=0)

    class Meta:
        db_table = 'tracked'


class Noted(MasterMixin):
    """Has meta, and a correlation id by the settings."""

    CQRS_ID = 'noted'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'noted'

    def get_cqrs_meta(self, **kwargs):
        return {'by': 'Zoë', 'signal': kwargs['signal_type'], 'roles': ['a', {'n': 1}]}


class Album(MasterMixin):
    """A serializer decides what travels: the writer's name is nested."""

    CQRS_ID = 'album'
    CQRS_SERIALIZER = 'interop.masters.serializers.AlbumSerializer'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    writer = models.ForeignKey(Writer, on_delete=models.PROTECT, related_name='+')

    class Meta:
        db_table = 'album'

    @classmethod
    def relate_cqrs_serialization(cls, queryset):
        return queryset.select_related('writer')


class Removable(MasterMixin):
    """Says with its DELETE why."""

    CQRS_ID = 'removable'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'removable'

    def get_custom_cqrs_delete_data(self):
        return {'reason': f'{self.name} is void', 'steps': [1, 2]}


class Stock(MasterMixin):
    CQRS_ID = 'stock'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100, null=True)

    class Meta:
        db_table = 'stock'


class Fragile(MasterMixin):
    """Its replicas refuse it until they are told not to."""

    CQRS_ID = 'fragile'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'fragile'


class OddTime(MasterMixin):
    CQRS_ID = 'odd_time'

    id = models.IntegerField(primary_key=True)
    clock = models.TimeField()

    class Meta:
        db_table = 'odd_time'


class OddDuration(MasterMixin):
    CQRS_ID = 'odd_duration'

    id = models.IntegerField(primary_key=True)
    span = models.DurationField()

    class Meta:
        db_table = 'odd_duration'


class OddBytes(MasterMixin):
    CQRS_ID = 'odd_bytes'

    id = models.IntegerField(primary_key=True)
    bytes = models.BinaryField()

    class Meta:
        db_table = 'odd_bytes'


class OddOwner(MasterMixin):
    """A foreign key to a UUID."""

    CQRS_ID = 'odd_owner'

    id = models.IntegerField(primary_key=True)
    owner = models.ForeignKey(UuidKeyed, on_delete=models.PROTECT, related_name='+')

    class Meta:
        db_table = 'odd_owner'
