import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineEntity, type EntityManager, p } from '@mikro-orm/postgresql';
import { parseJson, type WireObject } from '../../../src/wire/values.js';
import { type CreateContext, replicaClass, ReplicaEntity } from '../../../src/index.js';
import { createDatabase, type TestDatabase } from '../../support/database.js';
import { brief, message } from './support/messages.js';
import { ReplicaService } from './support/replica-service.js';

const columns = { id: p.integer().primary(), document: p.json() };
const PlainSchema = defineEntity({ name: 'PlainRef', extends: ReplicaEntity, properties: columns });
class PlainRef extends replicaClass(PlainSchema) {
  static override CQRS_ID = 'plain';
}
PlainSchema.setClass(PlainRef);
const HookedSchema = defineEntity({ name: 'HookedRef', extends: ReplicaEntity, properties: columns });
class HookedRef extends replicaClass(HookedSchema) {
  static override CQRS_ID = 'hooked';
  static override async cqrsCreate(em: EntityManager, context: CreateContext) {
    return super.cqrsCreate(em, context);
  }
}
HookedSchema.setClass(HookedRef);

let database: TestDatabase;
let service: ReplicaService;
beforeAll(async () => {
  database = await createDatabase();
  service = await ReplicaService.start(database.url, [PlainRef, HookedRef]);
  await service.orm.schema.create();
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const DOCUMENT = '{"list": [1, 12345678901234567890], "exact": 1.00000000000000000001, "small": 9007199254740993}';

test.each(['plain', 'hooked'])('numbers of a JSON document keep their digits: %s', async (cqrsId) => {
  for (const [revision, action] of ['create', 'update'].entries()) {
    const document = parseJson(DOCUMENT) as WireObject;
    const outcomes = await service.handle([
      message({ id: 1, document: { ...document, revision } }, { cqrsId, revision }),
    ]);
    expect(brief(outcomes)).toEqual([action]);
    const [row] = await service.rows(`select document::text as document from ${cqrsId}_ref`);
    expect(row!['document']).toContain('12345678901234567890');
    expect(row!['document']).toContain('1.00000000000000000001');
    expect(row!['document']).toContain('9007199254740993');
  }
});

test.each(['plain', 'hooked'])(
  'NaN, which PostgreSQL has not in JSON, is refused and not made null: %s',
  async (cqrsId) => {
    const outcomes = await service.handle([message({ id: 2, document: { a: [NaN] } }, { cqrsId })]);
    expect(outcomes).toMatchObject([{ error: { code: 'mapping' } }]);
  },
);
