"""Tables as Django makes them. Nothing is sent from here: what counts is their form, and what is read and written."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateRangeField,
    DateTimeRangeField,
    DecimalRangeField,
    HStoreField,
    IntegerRangeField,
    RangeOperators,
)
from django.contrib.postgres.indexes import BrinIndex, GinIndex, HashIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Lower, Now

from dj_cqrs.mixins import MasterMixin, ReplicaMixin


class Place(MasterMixin):
    """A plain master, keyed by a BigAutoField."""

    CQRS_ID = 'place'
    CQRS_PRODUCE = False

    name = models.CharField(max_length=100, unique=True)
    code = models.SlugField(db_column='Place Code', max_length=20)


class Small(MasterMixin):
    CQRS_ID = 'small'
    CQRS_PRODUCE = False

    id = models.SmallAutoField(primary_key=True)
    label = models.CharField(max_length=10, null=True)


class Uid(MasterMixin):
    CQRS_ID = 'uid'
    CQRS_PRODUCE = False

    uid = models.UUIDField(primary_key=True)
    # a table that refers to itself
    parent = models.ForeignKey('self', models.SET_NULL, null=True, related_name='+')


class TextKey(MasterMixin):
    CQRS_ID = 'text_key'
    CQRS_PRODUCE = False

    code = models.CharField(primary_key=True, max_length=40)

    class Meta:
        db_table = 'Named By Hand'


class Everything(MasterMixin):
    """A column of every type of field, Django's and those of django.contrib.postgres."""

    CQRS_ID = 'everything'
    CQRS_PRODUCE = False

    id = models.AutoField(primary_key=True)
    big_integer = models.BigIntegerField()
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(default=False)
    char = models.CharField(max_length=200)
    char_unlimited = models.CharField(null=True)
    char_collated = models.CharField(max_length=30, db_collation='C', null=True)
    char_commented = models.CharField(max_length=30, db_comment="What it is for: 'nothing'", null=True)
    char_indexed = models.CharField(max_length=30, db_index=True, null=True)
    char_unique = models.CharField(max_length=30, unique=True, null=True)
    choice = models.CharField(max_length=1, choices=[('a', 'A'), ('b', 'B')], default='a')
    date = models.DateField(null=True)
    date_time = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=12, decimal_places=2)
    duration = models.DurationField(null=True)
    email = models.EmailField(null=True)
    file = models.FileField(null=True)
    file_path = models.FilePathField(null=True)
    floating = models.FloatField(null=True)
    generated = models.GeneratedField(
        expression=models.F('small') * 2, output_field=models.IntegerField(), db_persist=True
    )
    ip = models.GenericIPAddressField(null=True)
    image = models.ImageField(null=True)
    integer = models.IntegerField(null=True)
    json = models.JSONField(null=True)
    positive_big = models.PositiveBigIntegerField(null=True)
    positive = models.PositiveIntegerField(null=True)
    positive_small = models.PositiveSmallIntegerField(null=True)
    slug = models.SlugField(null=True)
    small = models.SmallIntegerField()
    text = models.TextField(null=True)
    time = models.TimeField(null=True)
    url = models.URLField(null=True)
    uuid = models.UUIDField(null=True)
    renamed = models.IntegerField(db_column='Re Named', null=True)

    integers = ArrayField(models.IntegerField(), null=True)
    texts = ArrayField(models.CharField(max_length=20), null=True)
    decimals = ArrayField(models.DecimalField(max_digits=8, decimal_places=3), null=True)
    matrix = ArrayField(ArrayField(models.IntegerField()), null=True)
    hstore = HStoreField(null=True)
    integer_range = IntegerRangeField(null=True)
    big_range = BigIntegerRangeField(null=True)
    decimal_range = DecimalRangeField(null=True)
    date_range = DateRangeField(null=True)
    time_range = DateTimeRangeField(null=True)
    search = SearchVectorField(null=True)

    defaulted_number = models.IntegerField(db_default=7)
    defaulted_text = models.CharField(max_length=20, db_default="it's")
    defaulted_decimal = models.DecimalField(max_digits=6, decimal_places=3, db_default=1)
    defaulted_time = models.DateTimeField(db_default=Now())
    defaulted_json = models.JSONField(db_default={'a': [1]})

    place = models.ForeignKey(Place, models.PROTECT, related_name='+')
    other_place = models.ForeignKey(Place, models.SET_NULL, null=True, db_column='elsewhere', related_name='+')
    uid = models.ForeignKey(Uid, models.CASCADE, null=True, related_name='+')
    text_key = models.ForeignKey(TextKey, models.CASCADE, null=True, related_name='+')
    unindexed = models.ForeignKey(Small, models.CASCADE, null=True, db_index=False, related_name='+')
    unchecked = models.ForeignKey(Small, models.DO_NOTHING, null=True, db_constraint=False, related_name='+')
    single = models.OneToOneField(Place, models.CASCADE, null=True, related_name='+')
    by_name = models.ForeignKey(Place, models.CASCADE, to_field='name', null=True, related_name='+')

    class Meta:
        unique_together = [('char', 'small')]
        indexes = [
            models.Index(fields=['integer', '-date'], name='two_columns'),
            models.Index(Lower('email'), name='by_expression'),
            models.Index(fields=['slug'], name='partial', condition=models.Q(boolean=True)),
            models.Index(fields=['url'], name='covering', include=['small', 'boolean']),
            models.Index(fields=['text'], name='with_opclass', opclasses=['text_pattern_ops']),
            GinIndex(fields=['json'], name='gin'),
            GinIndex(fields=['integers'], name='gin_array'),
            BrinIndex(fields=['date_time'], name='brin'),
            HashIndex(fields=['uuid'], name='hash'),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(decimal__gte=0), name='not_negative'),
            models.UniqueConstraint(fields=['integer', 'text'], name='unique_two'),
            models.UniqueConstraint(
                fields=['positive', 'small'], name='unique_deferred', deferrable=models.Deferrable.DEFERRED
            ),
            models.UniqueConstraint(fields=['slug', 'small'], name='unique_partial', condition=models.Q(boolean=True)),
            models.UniqueConstraint(Lower('char'), 'small', name='unique_expression'),
            models.UniqueConstraint(fields=['ip', 'small'], name='unique_nulls', nulls_distinct=False),
            models.UniqueConstraint(fields=['url', 'small'], name='unique_covering', include=['boolean']),
            ExclusionConstraint(name='excluded', expressions=[('time_range', RangeOperators.OVERLAPS)]),
        ]


class Paired(models.Model):
    """A composite key, in a table that no part of django-cqrs has ever seen."""

    pk = models.CompositePrimaryKey('left', 'right')
    left = models.IntegerField()
    right = models.CharField(max_length=20)
    amount = models.DecimalField(max_digits=20, decimal_places=10)


class Tagged(models.Model):
    name = models.CharField(max_length=20)
    places = models.ManyToManyField(Place)


class Copy(ReplicaMixin):
    """A replica of django-cqrs."""

    CQRS_ID = 'copy'

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100, db_index=True)
    price = models.DecimalField(max_digits=12, decimal_places=2)
    place = models.ForeignKey(Place, models.CASCADE, null=True, related_name='+')


class Event(models.Model):
    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
