import { rawBody } from '../twins/outbox.ts';
import { NAME } from '../products.ts';

/** The messages of that many rows at one revision, as a master of ours sends them. */
export function* bodies(count: number, revision: number, { nameBytes = 0 } = {}): Generator<string> {
  const padding = '.'.repeat(nameBytes);
  const updated = `2026-01-01 00:00:${String(10 + revision).slice(-2)}.123456+00:00`;
  for (let id = 1; id <= count; id++) {
    yield rawBody({
      id: String(id),
      name: `${NAME} ${id}${padding}`,
      quantity: String(id + revision),
      price: '12.50',
      created_at: '2026-01-01 00:00:00.123456+00:00',
      active: 'true',
      cqrs_revision: String(revision),
      cqrs_updated: updated,
    });
  }
}
