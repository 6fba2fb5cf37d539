"""The replica service's copies, each as a Django team would declare it."""

from django.db import models

from dj_cqrs.mixins import ReplicaMixin


class SampleRef(ReplicaMixin):
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


class WriterRef(ReplicaMixin):
    CQRS_ID = 'writer'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'writer'


class BookRef(ReplicaMixin):
    """Relations as plain columns: one called as the master's relation, one mapped onto a name of its own."""

    CQRS_ID = 'book'
    CQRS_MAPPING = {'id': 'id', 'title': 'title', 'writer': 'writer', 'editor': 'editor_key'}

    id = models.IntegerField(primary_key=True)
    title = models.CharField(max_length=100)
    writer = models.IntegerField(db_column='writer_id')
    editor_key = models.IntegerField(db_column='editor_id', null=True)

    class Meta:
        db_table = 'book'


class ReviewRef(ReplicaMixin):
    """A real foreign key, written by its column in methods of its own."""

    CQRS_ID = 'review'

    id = models.IntegerField(primary_key=True)
    writer = models.ForeignKey(WriterRef, on_delete=models.CASCADE)

    class Meta:
        db_table = 'review'

    @classmethod
    def cqrs_create(cls, sync, mapped_data, previous_data=None):
        return cls.objects.create(**cls._by_column(mapped_data))

    def cqrs_update(self, sync, mapped_data, previous_data=None):
        return super().cqrs_update(sync, self._by_column(mapped_data))

    @staticmethod
    def _by_column(mapped_data):
        data = dict(mapped_data)
        return {'writer_id': data.pop('writer'), **data}


class RatingRef(ReplicaMixin):
    """A real foreign key left to django-cqrs, which cannot set it."""

    CQRS_ID = 'rating'

    id = models.IntegerField(primary_key=True)
    writer = models.ForeignKey(WriterRef, on_delete=models.CASCADE)

    class Meta:
        db_table = 'rating'


class UuidKeyedRef(ReplicaMixin):
    CQRS_ID = 'uuid_keyed'

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'uuid_keyed'


class TextKeyedRef(ReplicaMixin):
    CQRS_ID = 'text_keyed'

    code = models.CharField(primary_key=True, max_length=40)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'text_keyed'


class BigKeyedRef(ReplicaMixin):
    CQRS_ID = 'big_keyed'

    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'big_keyed'


class TrackedRef(ReplicaMixin):
    """Keeps what each message says of the values before."""

    CQRS_ID = 'tracked'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    writer = models.IntegerField(db_column='writer_id', null=True)
    at = models.DateTimeField(null=True)
    uid = models.UUIDField(null=True)
    untracked = models.IntegerField(default=0)
    previous = models.JSONField(null=True)

    class Meta:
        db_table = 'tracked'

    @classmethod
    def cqrs_create(cls, sync, mapped_data, previous_data=None):
        return cls.objects.create(**mapped_data, previous=previous_data)

    def cqrs_update(self, sync, mapped_data, previous_data=None):
        self.previous = previous_data
        return super().cqrs_update(sync, mapped_data)


class NotedRef(ReplicaMixin):
    """Keeps the meta of each message."""

    CQRS_ID = 'noted'
    CQRS_META = True

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    note = models.JSONField(null=True)

    class Meta:
        db_table = 'noted'

    @classmethod
    def cqrs_create(cls, sync, mapped_data, previous_data=None, meta=None):
        return cls.objects.create(**mapped_data, note=meta)

    def cqrs_update(self, sync, mapped_data, previous_data=None, meta=None):
        self.note = meta
        return super().cqrs_update(sync, mapped_data)


class AlbumRef(ReplicaMixin):
    """Flattens what the master's serializer nests."""

    CQRS_ID = 'album'
    CQRS_CUSTOM_SERIALIZATION = True

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    writer_name = models.CharField(max_length=100)

    class Meta:
        db_table = 'album'

    @classmethod
    def cqrs_create(cls, sync, mapped_data, previous_data=None):
        return cls.objects.create(**cls._flat(mapped_data))

    def cqrs_update(self, sync, mapped_data, previous_data=None):
        return super().cqrs_update(sync, self._flat(mapped_data))

    @staticmethod
    def _flat(mapped_data):
        data = dict(mapped_data)
        return {'writer_name': data.pop('writer')['name'], **data}


class Removal(models.Model):
    id = models.IntegerField(primary_key=True)
    custom = models.JSONField(null=True)

    class Meta:
        db_table = 'removal'


class RemovableRef(ReplicaMixin):
    """Remembers why its rows went."""

    CQRS_ID = 'removable'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'removable'

    @classmethod
    def cqrs_delete(cls, master_data, meta=None):
        Removal.objects.create(id=master_data['id'], custom=master_data.get('custom'))
        return super().cqrs_delete(master_data, meta)


class StockRef(ReplicaMixin):
    CQRS_ID = 'stock'
    # Without the lock a worker may write an older state over a newer one of the worker beside it.
    CQRS_SELECT_FOR_UPDATE = True

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100, null=True)

    class Meta:
        db_table = 'stock'


class Permit(models.Model):
    """A row here lets the fragile ones in."""

    id = models.IntegerField(primary_key=True)

    class Meta:
        db_table = 'permit'


class FragileRef(ReplicaMixin):
    CQRS_ID = 'fragile'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = 'fragile'

    @classmethod
    def cqrs_create(cls, sync, mapped_data, previous_data=None):
        if not Permit.objects.exists():
            raise RuntimeError('not yet')
        return super().cqrs_create(sync, mapped_data)


class OddTimeRef(ReplicaMixin):
    CQRS_ID = 'odd_time'

    id = models.IntegerField(primary_key=True)
    clock = models.TimeField()

    class Meta:
        db_table = 'odd_time'


class OddDurationRef(ReplicaMixin):
    CQRS_ID = 'odd_duration'

    id = models.IntegerField(primary_key=True)
    span = models.DurationField()

    class Meta:
        db_table = 'odd_duration'


class OddBytesRef(ReplicaMixin):
    CQRS_ID = 'odd_bytes'

    id = models.IntegerField(primary_key=True)
    bytes = models.BinaryField()

    class Meta:
        db_table = 'odd_bytes'


class OddOwnerRef(ReplicaMixin):
    CQRS_ID = 'odd_owner'

    id = models.IntegerField(primary_key=True)
    owner = models.UUIDField(db_column='owner_id')

    class Meta:
        db_table = 'odd_owner'
