import { Entity, Enum, PrimaryKey, Property } from '@mikro-orm/decorators/es';
import { MasterEntity } from '../../../src/replication/master/definition/master-entity.js';
import { ReplicaEntity } from '../../../src/replication/replica/definition/replica-entity.js';

// ---- the bank ------------------------------------------------------------------------------------------------------

@Entity()
export class Account extends MasterEntity {
  static override CQRS_ID = 'account';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  holder!: string;

  @Property({ type: 'string', length: 2 })
  country!: string;

  @Enum({ items: ['active', 'frozen', 'closed'], type: 'string' })
  status!: string;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  balance!: string;

  @Property({ type: 'datetime' })
  openedAt!: Date;

  /** Travels, but nobody may see it on a page. */
  @Property({ type: 'string', hidden: true })
  pin!: string;
}

@Entity()
export class Payment extends MasterEntity {
  static override CQRS_ID = 'payment';

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'decimal', precision: 12, scale: 2 })
  amount!: string;

  @Property({ type: 'text' })
  reference!: string;
}

// ---- the shop ------------------------------------------------------------------------------------------------------

@Entity()
export class AccountRef extends ReplicaEntity {
  static override CQRS_ID = 'account';
  static override CQRS_MAPPING = { id: 'id', holder: 'holder', country: 'country', balance: 'balance' } as const;

  @PrimaryKey({ type: 'integer', autoincrement: false })
  id!: number;

  @Property({ type: 'string' })
  holder!: string;

  @Property({ type: 'string', length: 2 })
  country!: string;

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

  /** Too short for what the bank writes now and then: the poison of these tests. */
  @Property({ type: 'string', length: 20 })
  reference!: string;
}

const HOLDERS = ['Ada Lovelace', 'Grace Hopper', 'Edsger Dijkstra', 'Barbara Liskov', 'Tony Hoare', 'Radia Perlman'];
const COUNTRIES = ['GB', 'US', 'NL', 'DE'];

/** Accounts with ids from 1 on; the same every time. */
export function accounts(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    id: index + 1,
    holder: HOLDERS[index % HOLDERS.length]!,
    country: COUNTRIES[index % COUNTRIES.length]!,
    status: index % 7 === 6 ? 'frozen' : 'active',
    balance: `${100 + ((index * 37) % 9_000)}.50`,
    openedAt: new Date(Date.UTC(2026, index % 12, 1 + (index % 28), 9, 30)),
    pin: `secret-pin-${index}`,
  }));
}

export const LONG_REFERENCE = 'an invoice whose number is far too long for the shop';
