import type { Letter as FoundLetter } from '../maintenance/dead-letters.js';
import type { AdminParts, Handle } from './call.js';
import { hiddenOf, hidesKey } from './hidden-fields.js';
import { indentJson, NOT_SHOWN, withoutHidden } from './hidden-values.js';
import { faultyField } from './letter-field.js';
import { toLetter } from './letters.js';

/** Dead letters as the page shows them. */

export const deadLetters: Handle<'deadLetters'> = async ({ letters }) => {
  const { queue, exists, count, letters: found, groups } = await letters.look();
  return { queue, exists, count, lookedAt: found.length, groups: [...groups] };
};

export const listLetters: Handle<'letters'> = async ({ letters }, { body }) => {
  const { letters: all } = await letters.look();
  const found = body.group === undefined ? all : all.filter(({ group }) => group === body.group);
  return { letters: found.slice(body.offset, body.offset + body.limit), total: found.length };
};

export const showLetter: Handle<'letter'> = async (parts, { params }) => {
  const letter = await parts.letters.find(params['id']!);
  const fault = await faultyField(parts.cqrs, letter);
  const { body, hidden, isHidden } = await shownBody(parts, letter);
  return {
    ...toLetter(parts.cqrs, letter, fault?.field ?? null),
    body,
    hidden,
    fieldValue: fault && isHidden(fault.field) ? JSON.stringify(NOT_SHOWN) : (fault?.value ?? null),
  };
};

async function shownBody(
  parts: AdminParts,
  { payload, body }: FoundLetter,
): Promise<{ body: string; hidden: string[]; isHidden: (field: string) => boolean }> {
  // What cannot be read cannot be looked through for what is hidden either.
  if (!payload) return { body: `${body.length} characters that cannot be read`, hidden: [], isHidden: () => false };
  const wire = await hiddenOf(parts.tables, parts.cqrs, payload.cqrsId);
  const named = hidesKey(parts.cqrs, payload.cqrsId) ? payload.with({ instancePk: NOT_SHOWN }) : payload;
  const shown = withoutHidden(named, { wire });
  const isHidden = (field: string): boolean => wire.includes(field);
  return { body: indentJson(shown.payload.toMessage()), hidden: [...shown.hidden], isHidden };
}
