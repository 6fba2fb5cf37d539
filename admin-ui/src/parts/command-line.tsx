import { useState } from 'react';

/** A command for a terminal, to be copied. */
export function CommandLine({ words }: { readonly words: readonly string[] }) {
  const [isCopied, setCopied] = useState(false);
  const command = words.map(quoted).join(' ');
  // only where the page came over HTTPS, or from this machine
  const clipboard = navigator.clipboard as Clipboard | undefined;
  return (
    <div className="command-line">
      <code tabIndex={0} aria-label="Command">
        {command}
      </code>
      {clipboard && (
        <button
          type="button"
          className="button small"
          onClick={() => void clipboard.writeText(command).then(() => setCopied(true))}
        >
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      )}
    </div>
  );
}

function quoted(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
