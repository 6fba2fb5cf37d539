import type { Events } from '../../kernel/events.js';
import type { TransportPayload } from '../../wire/payload.js';
import { isNaive, TimeZone } from '../../kernel/time-zone.js';
import type { WireObject, WireValue } from '../../wire/values.js';
import { UPDATED } from './definition/replica-columns.js';
import type { ReplicaDefinition } from './definition/replica-definition.js';

/**
 * Times without an offset, as Django sends them with `USE_TZ=False`: by the clock of the master's own place. They get the
 * offset of `replica.senderTimezone` before anything is read of them; without that setting they mean UTC, and the first
 * one of each entity is told. Masters of ours send an offset always.
 */
export class SenderTimes {
  readonly #zone: TimeZone | undefined;
  readonly #told = new WeakSet<ReplicaDefinition>();
  readonly #fields = new WeakMap<ReplicaDefinition, ReadonlySet<string>>();

  constructor(
    zone: string | null,
    private readonly events: Events,
  ) {
    this.#zone = zone === null ? undefined : new TimeZone(zone);
  }

  /** A message, whose data are replaced if they hold such times. */
  readMessage(definition: ReplicaDefinition, payload: TransportPayload): void {
    if (payload.incarnation !== null || !isNaive(payload.instanceData[UPDATED])) return;
    if (!this.#zone) return this.#tell(definition);
    const { instanceData, previousData } = payload;
    payload.replaceData(this.#place(definition, instanceData), previousData && this.#place(definition, previousData));
  }

  /** The data of one row. */
  readRow(definition: ReplicaDefinition, data: WireObject): WireObject {
    if (!isNaive(data[UPDATED])) return data;
    if (this.#zone) return this.#place(definition, data);
    this.#tell(definition);
    return data;
  }

  #place(definition: ReplicaDefinition, data: WireObject): WireObject {
    const fields = this.#fieldsOf(definition);
    const place = (value: WireValue): WireValue => {
      if (Array.isArray(value)) return value.map(place);
      return typeof value === 'string' ? this.#zone!.place(value) : value;
    };
    return Object.fromEntries(
      Object.entries(data).map(([name, value]) => [name, fields.has(name) ? place(value) : value]),
    );
  }

  #fieldsOf(definition: ReplicaDefinition): ReadonlySet<string> {
    let fields = this.#fields.get(definition);
    if (!fields) {
      const times = definition.columns.filter(({ kind }) => kind.startsWith('datetime'));
      const ofKey = definition.keyColumns.some((column) => times.includes(column)) ? ['id'] : [];
      fields = new Set([UPDATED, ...ofKey, ...times.flatMap(({ wire }) => wire)]);
      this.#fields.set(definition, fields);
    }
    return fields;
  }

  #tell(definition: ReplicaDefinition): void {
    if (this.#told.has(definition)) return;
    this.#told.add(definition);
    this.events.emit('cqrs.replica.warned', {
      where: definition.meta.className,
      what: 'gets times without an offset (Django with USE_TZ=False), which are taken as UTC.',
      cure: "Set replica.senderTimezone to the master's TIME_ZONE, then repeat its rows by a SYNC.",
    });
  }
}
