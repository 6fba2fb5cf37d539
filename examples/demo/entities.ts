import { Entity, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import type { EntityManager } from '@mikro-orm/core';
import { MasterEntity, ReplicaEntity, type CreateContext, type FieldsOf } from 'mikro-orm-cqrs';

// ---- the bank owns accounts and payments -----------------------------------------------------------------------

@Entity()
export class Account extends MasterEntity {
  static override CQRS_ID = 'account';
  static override CQRS_TRACKED_FIELDS = ['balance'] as const satisfies FieldsOf<Account>;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  name!: string;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  balance!: string;
}

@Entity()
export class Payment extends MasterEntity {
  static override CQRS_ID = 'payment';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  amount!: string;
}

// ---- the shop keeps copies of what it needs ----------------------------------------------------------------------

@Entity()
export class AccountRef extends ReplicaEntity {
  static override CQRS_ID = 'account';
  static override CQRS_MAPPING = { id: 'id', name: 'holder', balance: 'balance' } as const;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  holder!: string;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  balance!: string;
}

@Entity()
export class PaymentRef extends ReplicaEntity {
  static override CQRS_ID = 'payment';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  amount!: string;

  /** A rule of the shop's own: it takes no payment above 1,000. */
  static override async cqrsCreate(em: EntityManager, context: CreateContext): Promise<void | object> {
    if (Number(context.mappedData['amount']) > 1_000) throw new Error('a payment above 1,000 needs a second signature');
    return super.cqrsCreate(em, context);
  }
}
