/**
 * The fields of a record as PostgreSQL prints it: `(7,"a, b",,"")` → `['7', 'a, b', null, '']`. Of one column PostgreSQL
 * describes, sends and `pg` reads less than of as many as a row has.
 * (https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX)
 */
export function readRecord(text: string): (string | null)[] {
  const fields: (string | null)[] = [];
  const end = text.length - 1;
  for (let at = 1; at <= end; at++) {
    if (text[at] === '"') {
      const close = closingQuote(text, at + 1);
      const inner = text.slice(at + 1, close);
      // Quotes and backslashes are doubled, nothing else is.
      fields.push(/["\\]/.test(inner) ? inner.replace(/(["\\])\1/g, '$1') : inner);
      at = close + 1;
    } else {
      const comma = text.indexOf(',', at);
      const next = comma < 0 ? end : comma;
      fields.push(next === at ? null : text.slice(at, next));
      at = next;
    }
  }
  return fields;
}

function closingQuote(text: string, from: number): number {
  let at = text.indexOf('"', from);
  while (text[at + 1] === '"') at = text.indexOf('"', at + 2);
  return at;
}
