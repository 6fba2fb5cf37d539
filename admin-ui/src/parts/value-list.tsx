import { Value } from '../pages/rows/rows-table.tsx';

/** Columns and their values, as PostgreSQL prints them. */
export function ValueList({ values }: { readonly values: Readonly<Record<string, string | null>> }) {
  return (
    <dl className="facts">
      {Object.entries(values).map(([name, value]) => (
        <div key={name} className="fact">
          <dt>{name}</dt>
          <dd>
            <Value text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
