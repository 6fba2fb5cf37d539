import { NOT_SHOWN } from '../../operations/hidden-values.js';
import { showLetter as shown } from '../../operations/shown-letter.js';
import type { Handle } from '../http/call.js';
import { indentJson } from '../rows/indent-json.js';
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

export const showLetter: Handle<'letter'> = async ({ cqrs, letters }, { params }) => {
  const letter = await letters.find(params['id']!);
  const fault = await faultyField(cqrs, letter);
  const { message, shows } = shown(cqrs, letter);
  return {
    ...toLetter(cqrs, letter, fault?.field ?? null),
    // What cannot be read cannot be looked through for what may be shown either.
    body: message ? indentJson(message.payload.toMessage()) : `${letter.body.length} characters that cannot be read`,
    hidden: [...(message?.hidden ?? [])],
    unmapped: [...(message?.unmapped ?? [])],
    fieldValue: fault && !shows(fault.field) ? JSON.stringify(NOT_SHOWN) : (fault?.value ?? null),
  };
};
