/** An array as PostgreSQL prints it. (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO) */

/** Its elements, those of several dimensions in lists of lists; null is a NULL. Where its subscripts begin is left out. */
export function readArray<T>(text: string, read: (element: string | null) => T): Nested<T>[] {
  let at = text.indexOf('{');
  const list = (): Nested<T>[] => {
    const items: Nested<T>[] = [];
    at++;
    while (text[at] !== '}') {
      if (text[at] === ',') at++;
      else if (text[at] === '{') items.push(list());
      else if (text[at] === '"') {
        let item = '';
        for (at++; text[at] !== '"'; at++) item += text[at] === '\\' ? text[++at] : text[at];
        at++;
        items.push(read(item));
      } else {
        const start = at;
        while (text[at] !== ',' && text[at] !== '}') at++;
        const item = text.slice(start, at);
        items.push(read(item === 'NULL' ? null : item));
      }
    }
    at++;
    return items;
  };
  return list();
}

export type Nested<T> = T | Nested<T>[];
