"""The service's own tests, which have to pass on its tables whoever else works with them."""

from decimal import Decimal

from django.db import IntegrityError, connection, transaction
from django.test import TestCase

from existing.models import Copy, Everything, Paired, Place, Tagged


class ExistingTables(TestCase):
    def setUp(self):
        self.place = Place.objects.create(name='Test', code='t')

    def create(self, **values):
        return Everything.objects.create(
            **{'big_integer': 1, 'char': 'c', 'decimal': Decimal('1.25'), 'small': 3, 'place': self.place, **values}
        )

    def test_defaults_and_what_the_database_computes(self):
        row = self.create()
        row.refresh_from_db()
        self.assertEqual((row.defaulted_number, row.defaulted_text, row.generated), (7, "it's", 6))
        self.assertEqual((row.decimal, row.defaulted_json, row.cqrs_revision), (Decimal('1.25'), {'a': [1]}, 0))

    def test_keys_are_numbered(self):
        first = self.create()
        self.assertGreater(self.create(char='d', small=4).pk, first.pk)

    def test_foreign_keys_wait_for_the_end_of_the_transaction(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            self.create(place_id=-1)
            connection.check_constraints()

    def test_what_is_unique_stays_unique(self):
        self.create()
        with self.assertRaises(IntegrityError), transaction.atomic():
            self.create()

    def test_checks(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            self.create(decimal=-1)

    def test_a_replica(self):
        copy = Copy.objects.create(
            id=1, name='n', price=Decimal('0.10'), cqrs_revision=0, cqrs_updated='2024-01-01T00:00:00Z'
        )
        copy.refresh_from_db()
        self.assertEqual(copy.price, Decimal('0.10'))

    def test_what_is_not_replicated(self):
        Paired.objects.create(left=1, right='r', amount=Decimal('1.0000000001'))
        self.assertEqual(Paired.objects.get(pk=(1, 'r')).amount, Decimal('1.0000000001'))
        tagged = Tagged.objects.create(name='t')
        tagged.places.add(self.place)
        self.assertEqual(tagged.places.get(), self.place)
