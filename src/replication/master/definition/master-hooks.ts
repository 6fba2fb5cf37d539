import type { EntityMetadata } from '@mikro-orm/core';
import { didYouMean } from '../../../kernel/nearest-name.js';
import type { Complain } from './choose-columns.js';
import { MASTER, type MasterHooks, type MasterStatics } from './master-statics.js';

type Instance =
  Required<Omit<MasterHooks, 'populate'>> extends infer Hooks
    ? {
        [Name in keyof Hooks]: Hooks[Name] extends (entity: object, ...rest: infer Rest) => infer Answer
          ? (...rest: Rest) => Answer
          : never;
      }
    : never;

/** The methods that a class overrides, or one of the children that travel under its id. */
export function findHooks(meta: EntityMetadata, members: readonly EntityMetadata[], complain: Complain): MasterHooks {
  const overridden = (name: keyof Instance): boolean =>
    [meta, ...members].some(({ class: { prototype } }) => {
      const method: unknown = (prototype as Record<string, unknown>)[name];
      // The base class's own methods carry the mark: what still has it was not overridden.
      return typeof method === 'function' && !(MASTER in method);
    });
  // Called by name: a child may have a method of its own.
  return {
    isSyncInstance: overridden('isSyncInstance') ? (row) => (row as Instance).isSyncInstance() : undefined,
    getCqrsMeta: overridden('getCqrsMeta') ? (row, context) => (row as Instance).getCqrsMeta(context) : undefined,
    getCustomCqrsDeleteData: overridden('getCustomCqrsDeleteData')
      ? (row) => (row as Instance).getCustomCqrsDeleteData()
      : undefined,
    populate: checkedHint(meta, complain),
  };
}

function checkedHint(meta: EntityMetadata, complain: Complain): readonly string[] | undefined {
  const hint = (meta.class as MasterStatics).relateCqrsSerialization?.();
  for (const path of hint ?? []) {
    let current: EntityMetadata | undefined = meta;
    for (const name of path.split(/[.:]/)) {
      if (!current || name === 'ref' || /^[$*]/.test(name)) break;
      const property: EntityMetadata['props'][number] | undefined = current.properties[name as never];
      if (!property) {
        const known = current.relations.map((relation) => relation.name);
        complain(
          `asks for '${path}' in relateCqrsSerialization, but ${current.className} has no '${name}'.${didYouMean(name, known)}`,
          "Use MikroORM's populate syntax, e.g. ['author', 'author.country'].",
        );
      }
      current = property?.targetMeta;
    }
  }
  return hint;
}
