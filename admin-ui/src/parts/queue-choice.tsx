import { useState } from 'react';

const OTHER = '\u0000other';

/** To whom: all replicas, a queue that is known, or one that is typed in. */
export function QueueChoice({
  queues,
  value,
  onChange,
}: {
  readonly queues: readonly string[];
  readonly value: string | null;
  readonly onChange: (queue: string | null) => void;
}) {
  const [isTyping, setTyping] = useState(false);
  return (
    <span className="queue-choice">
      <select
        className="select"
        aria-label="Send to"
        value={isTyping ? OTHER : (value ?? '')}
        onChange={(event) => {
          const chosen = event.target.value;
          setTyping(chosen === OTHER);
          onChange(chosen === OTHER || chosen === '' ? null : chosen);
        }}
      >
        <option value="">to all replicas</option>
        {queues.map((queue) => (
          <option key={queue} value={queue}>
            only to {queue}
          </option>
        ))}
        <option value={OTHER}>only to another queue…</option>
      </select>
      {isTyping && (
        <input
          className="input"
          aria-label="Queue"
          placeholder="name of the queue"
          autoCapitalize="off"
          spellCheck={false}
          value={value ?? ''}
          onChange={(event) => onChange(event.target.value.trim())}
        />
      )}
    </span>
  );
}
