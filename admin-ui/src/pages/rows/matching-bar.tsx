import { useEffect, useRef, useState, type FormEvent } from 'react';
import type { Column, Matching, Operator } from '../../../../src/admin/contract.ts';
import { Icon } from '../../parts/icons.tsx';
import {
  choices,
  conditionInWords,
  inputType,
  makeCondition,
  needsValue,
  OPERATOR_WORDS,
  placeholder,
} from './conditions.ts';

const TYPING_MS = 300;

/** The search box and the conditions that rows must match. */
export function MatchingBar({
  columns,
  matching,
  onChange,
}: {
  readonly columns: readonly Column[];
  readonly matching: Matching;
  readonly onChange: (next: Matching) => void;
}) {
  const [isAdding, setAdding] = useState(false);
  const filters = matching.filters ?? [];
  const filterable = columns.filter(({ operators }) => operators.length > 0);
  return (
    <div className="matching">
      <div className="actions">
        <SearchBox
          value={matching.search ?? ''}
          columns={columns.filter(({ searched }) => searched).map(({ name }) => name)}
          onChange={(search) => onChange({ ...matching, search })}
        />
        {filterable.length > 0 && (
          <button type="button" className="button" aria-expanded={isAdding} onClick={() => setAdding(!isAdding)}>
            <Icon name="filter" size={16} />
            Add filter
          </button>
        )}
        {filters.map((filter, index) => (
          <span key={JSON.stringify(filter)} className="chip">
            {conditionInWords(filter)}
            <button
              type="button"
              aria-label={`Remove the filter: ${conditionInWords(filter)}`}
              onClick={() => onChange({ ...matching, filters: filters.toSpliced(index, 1) })}
            >
              <Icon name="close" size={12} />
            </button>
          </span>
        ))}
      </div>
      {isAdding && (
        <ConditionForm
          columns={filterable}
          onCancel={() => setAdding(false)}
          onAdd={(filter) => {
            setAdding(false);
            onChange({ ...matching, filters: [...filters, filter] });
          }}
        />
      )}
    </div>
  );
}

/** Asks while one types, a moment after the last letter. */
function SearchBox({
  value,
  columns,
  onChange,
}: {
  readonly value: string;
  readonly columns: readonly string[];
  readonly onChange: (value: string) => void;
}) {
  const box = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  // the address may change without typing: the back button
  useEffect(() => {
    if (box.current && document.activeElement !== box.current) box.current.value = value;
  }, [value]);
  return (
    <div className="search-box">
      <Icon name="search" size={16} />
      <input
        className="input"
        type="search"
        aria-label="Search"
        placeholder="Search"
        title={columns.length > 0 ? `Looks into ${columns.join(', ')}` : undefined}
        ref={box}
        defaultValue={value}
        onChange={({ target }) => {
          clearTimeout(timer.current);
          timer.current = setTimeout(() => onChange(target.value), TYPING_MS);
        }}
      />
    </div>
  );
}

function ConditionForm({
  columns,
  onAdd,
  onCancel,
}: {
  readonly columns: readonly Column[];
  readonly onAdd: (condition: ReturnType<typeof makeCondition>) => void;
  readonly onCancel: () => void;
}) {
  const [name, setName] = useState(columns[0]!.name);
  const column = columns.find((one) => one.name === name)!;
  const [wanted, setWanted] = useState<Operator>(column.operators[0]!);
  const operator = column.operators.includes(wanted) ? wanted : column.operators[0]!;
  const [value, setValue] = useState('');
  const options = choices(column, operator);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    onAdd(makeCondition(name, operator, options ? value || options[0]! : value));
  };
  return (
    <form className="condition" onSubmit={submit}>
      <select className="select" aria-label="Column" value={name} onChange={(event) => setName(event.target.value)}>
        {columns.map((one) => (
          <option key={one.name}>{one.name}</option>
        ))}
      </select>
      <select
        className="select"
        aria-label="Comparison"
        value={operator}
        onChange={(event) => setWanted(event.target.value as Operator)}
      >
        {column.operators.map((one) => (
          <option key={one} value={one}>
            {OPERATOR_WORDS[one]}
          </option>
        ))}
      </select>
      {needsValue(operator) &&
        (options ? (
          <select
            className="select"
            aria-label="Value"
            value={value}
            onChange={(event) => setValue(event.target.value)}
          >
            {options.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        ) : (
          <input
            className="input"
            aria-label="Value"
            type={inputType(column, operator)}
            step="any"
            placeholder={placeholder(column, operator)}
            required
            value={value}
            onChange={(event) => setValue(event.target.value)}
          />
        ))}
      <button type="submit" className="button primary">
        Add
      </button>
      <button type="button" className="button quiet" onClick={onCancel}>
        Cancel
      </button>
    </form>
  );
}
