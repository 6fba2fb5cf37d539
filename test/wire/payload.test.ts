import { describe, expect, test } from '@jest/globals';
import { InvalidPayloadError } from '../../src/kernel/errors.js';
import {
  bodyOf,
  formatExpires,
  isBody,
  revisionIn,
  SignalType,
  stampExpires,
  TransportPayload,
} from '../../src/wire/payload.js';

const data = { id: 1, cqrs_revision: 3, cqrs_updated: '2026-11-21 10:00:00.123456+00:00' };
const wire = { signal_type: 'SAVE', cqrs_id: 'account', instance_data: data };
const read = (over: object) => TransportPayload.fromMessage(JSON.stringify({ ...wire, ...over }));

describe('a body', () => {
  test('needs three keys; the others have defaults', () => {
    const payload = read({});
    expect(payload).toMatchObject({
      signalType: 'SAVE',
      cqrsId: 'account',
      instanceData: data,
      instancePk: null,
      queue: null,
      previousData: null,
      correlationId: null,
      expires: null,
      retries: 0,
      meta: {},
      incarnation: null,
    });
    expect(payload.version).toEqual({ incarnation: null, revision: 3, updated: 1_795_255_200_123_456 });
  });

  test('texts travel on with it, through retries as well', () => {
    const cqrs_texts = { doc: { json: 'null' }, list: { 'integer[]': '[0:1]={5,6}' } };
    const payload = read({ cqrs_texts });
    expect(payload.texts).toEqual(cqrs_texts);
    const again = TransportPayload.fromMessage(payload.with({ retries: 1 }).toMessage());
    expect(again).toMatchObject({ retries: 1, texts: cqrs_texts });
    expect(read({}).toMessage()).not.toContain('cqrs_texts');
  });

  test.each([5, 'x', [], { doc: 'null' }, { doc: null }])('texts that are no objects are refused: %j', (cqrs_texts) => {
    expect(() => read({ cqrs_texts })).toThrow("'cqrs_texts' expected an object of objects");
  });

  test('null is the default, too, and unknown keys are ignored', () => {
    const nulls = { instance_pk: null, previous_data: null, retries: null, expires: null, meta: null };
    expect(read({ ...nulls, cqrs_incarnation: null, queue: 'x', more: 1 }).toDict()).toEqual(read({}).toDict());
  });

  test.each([
    {},
    { signal_type: 'DELETE' },
    { signal_type: 'SYNC' },
    { cqrs_id: 'x'.repeat(255) },
    { previous_data: null, retries: null, expires: null, cqrs_incarnation: null },
    { previous_data: {}, retries: 0, expires: '2026-11-22T10:00:00+00:00', cqrs_incarnation: 0 },
    { retries: 2, cqrs_incarnation: 1 },
  ])('%j: the quick look takes it, as the schema would', (over) => {
    expect(isBody(JSON.parse(JSON.stringify({ ...wire, ...over })))).toBe(true);
  });

  test('revision 0 is one', () => {
    expect(read({ instance_data: { ...data, cqrs_revision: 0 } }).version.revision).toBe(0);
  });

  test('a life that is not numbered is not written', () => {
    expect(read({}).toDict()).not.toHaveProperty('cqrs_incarnation');
  });

  test.each([
    [{ retries: -1 }, { key: 'retries' }],
    [{ expires: 'soon' }, { key: 'expires' }],
    [{ instance_data: { ...data, cqrs_revision: -1 } }, { cqrsId: 'account' }],
    [{ instance_data: { ...data, cqrs_updated: null } }, { cqrsId: 'account' }],
  ])('%j is refused with %j for programs', (over, facts) => {
    expect(() => read(over)).toThrow(expect.objectContaining({ data: expect.objectContaining(facts) }));
  });

  test.each([
    [{ signal_type: undefined }, "'signal_type'"],
    [{ signal_type: 'DROP' }, "'signal_type'"],
    [{ cqrs_id: undefined }, "'cqrs_id'"],
    [{ cqrs_id: '' }, "'cqrs_id'"],
    [{ cqrs_id: 'x'.repeat(256) }, "'cqrs_id'"],
    [{ cqrs_id: 7 }, "'cqrs_id'"],
    [{ instance_data: undefined }, "'instance_data' expected an object"],
    [{ instance_data: null }, "'instance_data' expected an object"],
    [{ instance_data: [] }, "'instance_data' expected an object"],
    [{ instance_data: 'text' }, "'instance_data' expected an object"],
    [{ previous_data: [] }, "'previous_data' expected an object"],
    [{ retries: -1 }, "'retries'"],
    [{ retries: 1.5 }, "'retries'"],
    [{ expires: 5 }, "'expires' Invalid input"],
    [{ expires: 'soon' }, "'expires' is not a date"],
    [{ cqrs_incarnation: -1 }, "'cqrs_incarnation'"],
    [{ cqrs_incarnation: 0.5 }, "'cqrs_incarnation'"],
    [{ instance_data: { ...data, cqrs_revision: -1 } }, "'instance_data.cqrs_revision' is not a whole number"],
    [{ instance_data: { ...data, cqrs_revision: '3' } }, "'instance_data.cqrs_revision' is not a whole number"],
    [{ instance_data: { ...data, cqrs_revision: 2 ** 53 } }, "'instance_data.cqrs_revision' is not a whole number"],
    [{ instance_data: { ...data, cqrs_updated: null } }, "'instance_data.cqrs_updated' is not a date"],
  ])('%j is refused: %s', (over, reason) => {
    expect(() => read(over)).toThrow(InvalidPayloadError);
    expect(() => read(over)).toThrow(reason);
  });

  test.each(['null', '[]', '1', '"x"', 'NaN', '12345678901234567890'])('%s is no body', (text) => {
    expect(() => TransportPayload.fromMessage(text)).toThrow(/the body is not an object/);
  });

  test('an exact number is no object, though JavaScript has one for it', () => {
    const text = JSON.stringify(wire).replace(JSON.stringify(data), '0.12345678901234567890');
    expect(() => TransportPayload.fromMessage(text)).toThrow("'instance_data' expected an object");
  });

  test('comes as bytes, too, if they are UTF-8', () => {
    expect(TransportPayload.fromMessage(Buffer.from(JSON.stringify(wire))).cqrsId).toBe('account');
    expect(() => TransportPayload.fromMessage(Buffer.from([0x22, 0xff, 0x22]))).toThrow('the body is not UTF-8');
    expect(() => TransportPayload.fromMessage(Buffer.from('\ufeff{}'))).toThrow('the body is not JSON');
  });

  test('goes out as it came in', () => {
    const full = {
      ...wire,
      previous_data: { name: 'eve' },
      instance_pk: [1, 'b'],
      correlation_id: 'r-1',
      retries: 2,
      expires: '2026-11-22T10:00:00+00:00',
      meta: { by: 'eve' },
      cqrs_incarnation: 0,
    };
    expect(read(full).toMessage()).toBe(JSON.stringify(full));
  });
});

describe('a payload', () => {
  const now = new Date('2026-11-22T10:00:00Z');
  test('is expired from its last moment on', () => {
    const until = (expires: Date | null) => read({}).with({ expires });
    expect(until(null).isExpired(now)).toBe(false);
    expect(until(new Date(now.getTime() + 1)).isExpired(now)).toBe(false);
    expect(until(now).isExpired(now)).toBe(true);
    expect(until(new Date(0)).isExpired()).toBe(true);
    expect(until(new Date(Date.now() + 60_000)).isExpired()).toBe(false);
  });

  test('changes into another one; the first stays', () => {
    const one = read({ instance_pk: 1, previous_data: {}, correlation_id: 'c', meta: 5, cqrs_incarnation: 9 });
    const other = one.with({ retries: 1, queue: 'shop' });
    expect(other.toDict()).toEqual({ ...one.toDict(), retries: 1 });
    expect([one.retries, other.retries, one.queue, other.queue]).toEqual([0, 1, null, 'shop']);
  });

  test('made by hand says what is missing when its version is asked for', () => {
    const payload = new TransportPayload({ signalType: SignalType.DELETE, cqrsId: 'account', instanceData: { id: 1 } });
    expect(() => payload.version).toThrow("'instance_data.cqrs_revision' is not a whole number");
  });

  test('keeps a meta of null', () => {
    const init = { signalType: SignalType.SAVE, cqrsId: 'account', instanceData: data };
    expect(new TransportPayload({ ...init, meta: null }).meta).toBeNull();
    expect(new TransportPayload(init).meta).toEqual({});
  });
});

describe('`expires` as it travels', () => {
  test.each([
    ['2026-11-22T10:00:00.999Z', '2026-11-22T10:00:00+00:00'],
    ['+099999-01-01T00:00:00Z', '9999-12-31T23:59:59+00:00'],
    ['-000001-01-01T00:00:00Z', '0001-01-01T00:00:00+00:00'],
  ])('%s → %s, which can be read again', (date, text) => {
    expect(formatExpires(new Date(date))).toBe(text);
    expect(read({ expires: text }).expires).toEqual(new Date(text));
  });

  test('is added to a finished body when it leaves', () => {
    const body = bodyOf({
      signalType: 'SAVE',
      cqrsId: 'a"b',
      instanceData: JSON.stringify(data),
      previousData: 'null',
      instancePk: '1',
      correlationId: '"c"',
      meta: '{}',
      incarnation: 5,
    });
    const expected = { ...wire, cqrs_id: 'a"b', previous_data: null, instance_pk: 1, correlation_id: 'c' };
    const rest = { retries: 0, meta: {}, cqrs_incarnation: 5 };
    expect(JSON.parse(stampExpires(body, null))).toEqual({ ...expected, ...rest, expires: null });
    expect(JSON.parse(stampExpires(body, new Date(0)))).toEqual({
      ...expected,
      ...rest,
      expires: '1970-01-01T00:00:00+00:00',
    });
  });

  test('of one body is not taken for that of another', () => {
    const [one, other] = ['2026-11-22T10:00:00+00:00', '2026-11-22T10:00:01+00:00'];
    const seconds = [one, other, other, one].map((expires) => read({ expires }).expires!.toISOString().slice(18, 19));
    expect(seconds.join('')).toBe('0110');
  });
});

test('the revision of a body is found for those who look at the outbox, or is not', () => {
  const body = (revision: string): string => `{"instance_data":{"cqrs_revision":${revision}}}`;
  expect([body('3'), body('0'), body('-1'), body('"3"'), '{}', 'no JSON'].map(revisionIn)).toEqual([
    3,
    0,
    null,
    null,
    null,
    null,
  ]);
});
