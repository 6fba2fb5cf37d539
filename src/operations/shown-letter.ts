import { describeError } from '../kernel/describe-error.js';
import type { TransportPayload } from '../wire/payload.js';
import type { WireObject, WireValue } from '../wire/values.js';
import type { Cqrs } from '../cqrs.js';
import type { ReplicaDefinition } from '../replication/replica/definition/replica-definition.js';
import type { Letter } from './dead-letters.js';
import { hiddenProperties, hidesKey, isHidden, wireNames } from './hidden-properties.js';
import { Mask, NOT_SHOWN, withoutValues } from './hidden-values.js';

/** What stands in place of a value that this service does not map. */
export const NOT_MAPPED = '(not mapped)';

/**
 * A dead letter as it may be shown to whoever may look at dead letters, on the page or by a command. A master sends what
 * it hides, too, and a replica cannot know what that is: so only values of fields are shown that the replica maps and
 * does not hide. All others are only said to be there.
 */
export interface ShownLetter {
  /** Null where the key is hidden. */
  readonly key: string | null;
  /** What went wrong, without values that are not shown. */
  readonly error: string | null;
  /** The same for what a dry run says. */
  readonly describe: (error: unknown) => string;
  /** Whether the value of a field is shown. */
  readonly shows: (field: string) => boolean;
  /** Undefined when the body cannot be read. */
  readonly message: ShownMessage | undefined;
}

export interface ShownMessage {
  readonly payload: TransportPayload;
  /** The fields whose values are hidden. */
  readonly hidden: readonly string[];
  /** The fields that the replica does not map. */
  readonly unmapped: readonly string[];
}

/** @see ShownLetter */
export function showLetter(cqrs: Cqrs, letter: Letter): ShownLetter {
  const { payload, cqrsId, instancePk } = letter;
  const rules = rulesOf(cqrs, cqrsId);
  const withoutSecrets = (text: string): string => (payload ? withoutValues(text, secretsOf(payload, rules)) : text);
  return {
    key: hidesKey(cqrs, cqrsId) ? null : instancePk,
    error: letter.error === null ? null : withoutSecrets(letter.error),
    describe: (error) => withoutSecrets(describeError(error)),
    shows: (field) => rules.shown.has(field),
    get message() {
      return payload && showMessage(payload, rules, withoutSecrets);
    },
  };
}

interface Rules {
  readonly shown: ReadonlySet<string>;
  readonly hidden: ReadonlySet<string>;
  readonly hidesKey: boolean;
}

/** The library's own fields say nothing about a row but its age. */
const OWN_FIELDS = ['cqrs_revision', 'cqrs_updated'];

function rulesOf(cqrs: Cqrs, cqrsId: string | null): Rules {
  const master = cqrsId === null ? undefined : cqrs.masters.find(cqrsId);
  const replica = cqrsId === null ? undefined : cqrs.replicas.find(cqrsId);
  const keyIsHidden = hidesKey(cqrs, cqrsId);
  const mapped = replica ? mappedColumns(replica) : [];
  const isColumnHidden = ({ property }: (typeof mapped)[number]): boolean => isHidden(replica!.meta, property);
  const hidden = new Set([
    ...(keyIsHidden ? ['id'] : []), // the message of a deletion names the key so
    ...(master ? hiddenProperties(master.meta).flatMap(wireNames) : []),
    ...mapped.filter(isColumnHidden).flatMap(({ wire }) => wire),
  ]);
  const shown = mapped.filter((column) => !isColumnHidden(column)).flatMap(({ wire }) => wire);
  const key = replica && !keyIsHidden ? ['id'] : [];
  return {
    shown: new Set([...OWN_FIELDS, ...key, ...shown].filter((name) => !hidden.has(name))),
    hidden: new Set([...hidden, ...(replica ? hiddenProperties(replica.meta).flatMap(wireNames) : [])]),
    hidesKey: keyIsHidden,
  };
}

/** Code of the user's own reads fields whatever columns are called: then only a mapping says which are meant. */
function mappedColumns({ statics, mapping, columns, keyColumns }: ReplicaDefinition): ReplicaDefinition['columns'] {
  return statics.CQRS_CUSTOM_SERIALIZATION === true && !mapping ? keyColumns : columns;
}

type Describe = (text: string) => string;

function showMessage(payload: TransportPayload, rules: Rules, describe: Describe): ShownMessage {
  const { instanceData, previousData, meta, instancePk } = payload;
  const mask = new Mask(rules.hidden, []);
  const hidden = new Set<string>();
  const unmapped = new Set<string>();
  const show = (data: WireObject): WireObject =>
    Object.fromEntries(
      Object.entries(data).map(([name, value]): [string, WireValue] => {
        if (rules.shown.has(name)) return [name, mask.value(value, name)];
        const isHiddenField = rules.hidden.has(name);
        (isHiddenField ? hidden : unmapped).add(name);
        return [name, isHiddenField ? NOT_SHOWN : NOT_MAPPED];
      }),
    );
  const shown = payload.with({
    instanceData: show(instanceData),
    previousData: previousData && show(previousData),
    instancePk: rules.hidesKey ? NOT_SHOWN : instancePk,
    meta: showMeta(meta, { unmapped, describe }),
    texts: null,
  });
  return {
    payload: shown,
    hidden: [...new Set([...hidden, ...mask.found])].toSorted(),
    unmapped: [...unmapped].toSorted(),
  };
}

/** Facts of ours about the end of a message; what else is in `meta` comes from the master's own code. */
const NOTES: ReadonlySet<string> = new Set(['cqrs.reason', 'cqrs.error', 'cqrs.failedAt']);

function showMeta(meta: WireValue, { unmapped, describe }: { unmapped: Set<string>; describe: Describe }): WireValue {
  const show = (value: WireValue, path: string): WireValue => {
    if (typeof value === 'string' && NOTES.has(path)) return describe(value);
    unmapped.add(path === '' ? 'meta' : `meta.${path}`);
    return NOT_MAPPED;
  };
  if (!isObject(meta)) return meta === null ? null : show(meta, '');
  return Object.fromEntries(
    Object.entries(meta).map(([name, value]): [string, WireValue] => {
      if (name !== 'cqrs' || !isObject(value)) return [name, show(value, name)];
      return [
        name,
        Object.fromEntries(Object.entries(value).map(([note, said]) => [note, show(said, `cqrs.${note}`)])),
      ];
    }),
  );
}

function isObject(value: WireValue): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !JSON.isRawJSON(value);
}

/** Every value that is not shown. */
function secretsOf({ instanceData, previousData, meta, texts }: TransportPayload, { shown }: Rules): WireValue[] {
  const rest = [instanceData, previousData ?? {}, (texts ?? {}) as WireObject].flatMap((data) =>
    Object.entries(data).flatMap(([name, value]) => (shown.has(name) ? [] : [value])),
  );
  if (!isObject(meta)) return [...rest, meta];
  return [...rest, ...Object.entries(meta).flatMap(([name, value]) => (name === 'cqrs' ? [] : [value]))];
}
